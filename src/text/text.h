// SPDX-License-Identifier: MIT
// MIL text to IR and back. The grammar is that of real files: both spellings (program(1.0) with
// rank-0 tensors, program(1.3) with bare scalars, mixed at will), unknown operations and attributes
// are kept.
#ifndef MILO_TEXT_TEXT_H
#define MILO_TEXT_TEXT_H

#include "base/str.h"
#include "ir/ir.h"

// Bounds on what a text may ask for, so that no input can exhaust stack or memory.
enum {
  MILO_TEXT_MAX_DEPTH = 64,             // blocks, types and literals within one another
  MILO_TEXT_MAX_SPLAT_BYTES = 1 << 28,  // of all splat literals of a text together
};

// Parses bytes of text into a new program (one reference). name is shown in messages; text and name
// are copied into the program, whose places (milo_loc) refer to the copy.
//
// Numbers are rounded once, to nearest even, to their declared type; floats beyond its range become
// infinities, integers beyond it are errors. Blob literals get no data (see package/blob.h). A name
// defined again hides the earlier value, as in texts that Apple's compiler takes; the verifier
// objects to it.
// Wrong text: MILO_ERR_INVALID, with up to MILO_DIAG_MAX_ERRORS errors reported. Linear time.
MILO_MUST_USE milo_status milo_text_parse(const char *text, size_t bytes, const char *name,
                                          milo_diag *diag, milo_program **out_program);
// The same without the copy: text is malloc'ed, and freed with the program (or at once, after a
// failure).
MILO_MUST_USE milo_status milo_text_parse_owned(char *text, size_t bytes, const char *name,
                                                milo_diag *diag, milo_program **out_program);

// Appends the canonical text: the layout of Apple's compiler, function inputs, arguments and
// attributes sorted by name, floats as shortest hexadecimal, a newline at the end only if the text
// parsed had one. Parsing it gives the same program again. A tensor literal of more than 4,096
// equal elements is written as one number. MILO_ERR_INVALID only for a program that breaks the IR's
// rules: a literal whose elements do not fit its shape.
MILO_MUST_USE milo_status milo_text_print(const milo_program *program, milo_str *out);

#endif
