// SPDX-License-Identifier: MIT
// What the parts of the parser share. Functions that return bool report before they return false;
// the statement is then given up.
#ifndef MILO_TEXT_PARSER_H
#define MILO_TEXT_PARSER_H

#include "ir/ir.h"
#include "text/lexer.h"

// An identifier of the text, interned: equal names are one entry. Makes scopes and checks for
// duplicates constant work.
typedef struct milo_name {
  const char *text;   // in the program's arena
  milo_value *value;  // what it stands for here; NULL: nothing
  uint32_t hash;
  uint32_t seen;  // the last list (arguments, attributes) it was a key of
  uint16_t op;    // 1 + its milo_opcode; 0: not looked up yet
  bool is_function;
} milo_name;

typedef struct milo_shadowed {
  milo_name *name;
  milo_value *value;
} milo_shadowed;

// A growing array in malloc'ed memory. It serves list after list: what is kept of one is copied
// into the program's arena at its exact size.
typedef struct milo_scratch {
  void *data;
  size_t capacity;  // bytes
} milo_scratch;
// Makes room; what is new is zeroed.
void milo_scratch_reserve(milo_scratch *scratch, size_t bytes);

typedef struct milo_parser {
  milo_lexer lexer;
  milo_token token, ahead;  // the current one and the one after
  milo_diag *diag;
  milo_program *program;
  milo_arena *arena;  // the program's
  size_t errors;      // reported by the parser
  int depth;

  milo_arena names;    // entries of the table of names
  milo_scratch slots;  // hash table: milo_name *, a power of two of them
  size_t name_count, slot_count;
  milo_scratch log;  // milo_shadowed: what leaving a block restores
  size_t log_count;
  uint32_t lists;
  bool names_lost;  // a statement was given up before its results were known

  milo_scratch numbers, strings, attrs, args, values;
  milo_scratch results;  // milo_name *: of the statements that enclose this place, outermost first
  size_t result_count;
  const char *blob_path;  // the last one: most often the next is the same
  size_t splat_bytes;
} milo_parser;

// ---- tokens (parser.c) ----

void milo_parser_advance(milo_parser *p);
// Reports at a place and returns false. Nothing is reported where the lexer has already complained.
bool milo_parser_fail(milo_parser *p, size_t offset, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// "expected WHAT, found 'x'" at the current token.
bool milo_parser_expected(milo_parser *p, const char *what);
bool milo_parser_at(const milo_parser *p, char punct);
bool milo_parser_at_name(const milo_parser *p, const char *name);
// Takes the punctuation if it stands here.
bool milo_parser_take(milo_parser *p, char punct);
bool milo_parser_expect(milo_parser *p, char punct);
const char *milo_parser_text(const milo_parser *p, const milo_token *token);
// Copies a token's text into the arena.
const char *milo_parser_copy(milo_parser *p, const milo_token *token);
// Every level of nesting enters and leaves; false (reported): too deep.
bool milo_parser_enter(milo_parser *p);
void milo_parser_leave(milo_parser *p);

// ---- names (names.c) ----

milo_name *milo_names_intern(milo_parser *p, const char *text, size_t bytes);
// The entry of a text that is a name already, else NULL.
milo_name *milo_names_find(const milo_parser *p, const char *text, size_t bytes);
milo_opcode milo_names_opcode(milo_name *name);
// From here to the end of the block the name stands for value.
void milo_names_define(milo_parser *p, milo_name *name, milo_value *value);
// Ends the scope of all names defined since log_count was mark.
void milo_names_close(milo_parser *p, size_t mark);
// The visible name nearest to a misspelt one, NULL if none is near.
const milo_name *milo_names_nearest(const milo_parser *p, const char *text, size_t bytes);
// Few letters apart (a measure for hints).
bool milo_names_alike(const char *a, size_t a_bytes, const char *b, size_t b_bytes);

// ---- types and literals (literal.c) ----

// Does a type begin here? (An operation or a value name otherwise.)
bool milo_parser_at_type(const milo_parser *p);
bool milo_parser_at_value(const milo_parser *p);  // type "(" or type "<"
bool milo_parser_type(milo_parser *p, milo_type *out);
// type "(" contents ")"
bool milo_parser_value(milo_parser *p, milo_literal *out);

#endif
