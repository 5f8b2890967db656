// SPDX-License-Identifier: MIT
// The blob file beside a text that Milo writes: <stem>.weights.bin, or <stem>.weights.<n>.bin where
// that name is taken.
//
// A text and its blob file take two renames. For the pair to be consistent at every instant, a new
// blob file never takes the name of one that a text refers to: it gets a free name, then the text
// that refers to it is renamed into place, and only then the file that the old text meant goes. A
// process killed just before that leaves it: numbered files are removed by the next save, one
// called <stem>.weights.bin that no text refers to could be anybody's and stays.
#ifndef MILO_PACKAGE_BESIDE_H
#define MILO_PACKAGE_BESIDE_H

#include "ir/ir.h"

typedef struct milo_beside {
  milo_arena *arena;
  const char *folder, *stem;
  const char *text_path;
  const char *name;     // for the new blob file
  bool first_was_ours;  // the text that is about to be replaced refers to <stem>.weights.bin
} milo_beside;

// Is it a name of the blob file of a text of that stem?
bool milo_beside_is_name(const char *stem, const char *name);
// Chooses the name: of no file that is there, or of one that an interrupted write left and no text
// of the folder refers to; and none that program itself refers to. Strings are made in arena.
void milo_beside_begin(milo_beside *beside, milo_arena *arena, const milo_program *program,
                       const char *text_path);
// Once the text is in place: removes the files of those names that no text of the folder refers to,
// <stem>.weights.bin only where the old text did, and what killed processes left of writing them.
void milo_beside_sweep(const milo_beside *beside);

// The folder of a path ("." if it names none, or an open descriptor), and its last part without
// extension.
const char *milo_path_folder(milo_arena *arena, const char *path);
const char *milo_path_stem(milo_arena *arena, const char *path);

#endif
