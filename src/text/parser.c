// SPDX-License-Identifier: MIT
// MIL text to IR: programs, functions, statements. One token of lookahead. After an error the
// parser goes on at the next ';', so that one run finds several.
#include "text/parser.h"

#include <stdlib.h>
#include <string.h>

#include "ir/op.h"
#include "text/text.h"

// ---- tokens ----

static milo_token next_token(milo_parser *p) {
  if (p->errors + p->lexer.errors >= MILO_DIAG_MAX_ERRORS)
    return (milo_token){.kind = MILO_TOKEN_END, .offset = p->lexer.at};
  return milo_lexer_next(&p->lexer);
}

void milo_parser_advance(milo_parser *p) {
  p->token = p->ahead;
  p->ahead = next_token(p);
}

bool milo_parser_fail(milo_parser *p, size_t offset, const char *format, ...) {
  if (p->errors + p->lexer.errors >= MILO_DIAG_MAX_ERRORS) return false;
  p->errors++;
  va_list args;
  va_start(args, format);
  (void)milo_vfail(p->diag, (milo_loc){p->lexer.source, offset}, MILO_ERR_INVALID, format, args);
  va_end(args);
  return false;
}

const char *milo_parser_text(const milo_parser *p, const milo_token *token) {
  return p->lexer.source->text + token->offset;
}

const char *milo_parser_copy(milo_parser *p, const milo_token *token) {
  return milo_arena_strndup(p->arena, milo_parser_text(p, token), token->bytes);
}

bool milo_parser_expected(milo_parser *p, const char *what) {
  const milo_token *token = &p->token;
  if (token->kind == MILO_TOKEN_BAD) return false;
  if (token->kind == MILO_TOKEN_END)
    return milo_parser_fail(p, token->offset, "expected %s, found the end of the text", what);
  const int shown = token->bytes > 40 ? 40 : (int)token->bytes;
  if (token->kind == MILO_TOKEN_STRING)
    return milo_parser_fail(p, token->offset, "expected %s, found a string", what);
  return milo_parser_fail(p, token->offset, "expected %s, found '%.*s'", what, shown,
                          milo_parser_text(p, token));
}

bool milo_parser_at(const milo_parser *p, char punct) {
  return p->token.kind == MILO_TOKEN_PUNCT && p->token.punct == punct;
}

bool milo_parser_at_name(const milo_parser *p, const char *name) {
  const size_t bytes = strlen(name);
  return p->token.kind == MILO_TOKEN_NAME && p->token.bytes == bytes &&
         memcmp(milo_parser_text(p, &p->token), name, bytes) == 0;
}

bool milo_parser_take(milo_parser *p, char punct) {
  if (!milo_parser_at(p, punct)) return false;
  milo_parser_advance(p);
  return true;
}

bool milo_parser_expect(milo_parser *p, char punct) {
  if (milo_parser_take(p, punct)) return true;
  const char what[] = {'\'', punct, '\'', '\0'};
  return milo_parser_expected(p, what);
}

bool milo_parser_enter(milo_parser *p) {
  if (p->depth == MILO_TEXT_MAX_DEPTH)
    return milo_parser_fail(p, p->token.offset, "nested more than %d deep", MILO_TEXT_MAX_DEPTH);
  p->depth++;
  return true;
}

void milo_parser_leave(milo_parser *p) { p->depth--; }

static bool expect_arrow(milo_parser *p) {
  if (p->token.kind != MILO_TOKEN_ARROW) return milo_parser_expected(p, "'->'");
  milo_parser_advance(p);
  return true;
}

static bool expect_name(milo_parser *p, const char *what, milo_token *out) {
  *out = p->token;
  if (p->token.kind != MILO_TOKEN_NAME) return milo_parser_expected(p, what);
  milo_parser_advance(p);
  return true;
}

static milo_name *intern(milo_parser *p, const milo_token *token) {
  return milo_names_intern(p, milo_parser_text(p, token), token->bytes);
}

static milo_loc loc_of(const milo_parser *p, size_t offset) {
  return (milo_loc){p->lexer.source, offset};
}

// ---- names ----

static milo_value *use(milo_parser *p, const milo_token *token) {
  milo_name *name = intern(p, token);
  if (name->value) return name->value;
  if (!p->names_lost) {
    const milo_name *nearest = milo_names_nearest(p, name->text, token->bytes);
    if (nearest)
      milo_parser_fail(p, token->offset, "'%s' is not defined\ndid you mean '%s'?", name->text,
                       nearest->text);
    else
      milo_parser_fail(p, token->offset, "'%s' is not defined above", name->text);
  }
  // Stands in for the missing value, so that it is reported once.
  milo_value *value = MILO_NEW(p->arena, milo_value);
  value->name = name->text;
  milo_names_define(p, name, value);
  return value;
}

// Key of a list of arguments or attributes; each may be given once. lists was advanced at its
// start.
static bool take_key(milo_parser *p, const char *what, uint32_t list, milo_name **out) {
  milo_token token;
  if (!expect_name(p, what, &token)) return false;
  *out = intern(p, &token);
  if ((*out)->seen == list) milo_parser_fail(p, token.offset, "'%s' is given twice", (*out)->text);
  (*out)->seen = list;
  return milo_parser_expect(p, '=');
}

// ---- attributes ----

// "[" [ name "=" value { "," ... } ] "]", or nothing. *out_given may be NULL.
static bool parse_attrs(milo_parser *p, milo_attrs *attrs, bool *out_given) {
  const bool given = milo_parser_take(p, '[');
  if (out_given) *out_given = given;
  if (!given) return true;
  const uint32_t list = ++p->lists;
  size_t count = 0;
  while (!milo_parser_at(p, ']')) {
    milo_name *key;
    if (count > 0 && !milo_parser_take(p, ',')) return milo_parser_expected(p, "',' or ']'");
    milo_scratch_reserve(&p->attrs, (count + 1) * sizeof(milo_attr));
    milo_attr *attr = &((milo_attr *)p->attrs.data)[count];
    if (!take_key(p, "an attribute's name", list, &key) || !milo_parser_value(p, &attr->value))
      return false;
    attr->name = key->text;
    count++;
  }
  milo_parser_advance(p);
  if (count == 0) return true;
  *attrs = (milo_attrs){milo_arena_copy(p->arena, p->attrs.data, count * sizeof(milo_attr)), count,
                        count};
  return true;
}

// ---- statements ----

static bool parse_argument_value(milo_parser *p, milo_value **out) {
  if (milo_parser_at_value(p)) {
    milo_literal literal;
    if (!milo_parser_value(p, &literal)) return false;
    *out = milo_value_literal(p->arena, literal);
  } else {
    milo_token token;
    if (!expect_name(p, "a value", &token)) return false;
    *out = use(p, &token);
  }
  return true;
}

static bool parse_argument(milo_parser *p, uint32_t list, milo_arg *out) {
  milo_name *key;
  size_t count = 0;
  if (!take_key(p, "an argument's name", list, &key)) return false;
  const bool several = milo_parser_take(p, '(');
  do {
    milo_value *value;
    if (!parse_argument_value(p, &value)) return false;
    milo_scratch_reserve(&p->values, (count + 1) * sizeof value);
    ((milo_value **)p->values.data)[count++] = value;
  } while (several && milo_parser_take(p, ','));
  if (several && !milo_parser_take(p, ')')) return milo_parser_expected(p, "',' or ')'");
  *out = (milo_arg){.name = key->text, .count = count};
  out->values = milo_arena_copy(p->arena, p->values.data, count * sizeof(milo_value *));
  return true;
}

static bool parse_arguments(milo_parser *p, milo_op *op) {
  if (!milo_parser_expect(p, '(')) return false;
  const uint32_t list = ++p->lists;
  size_t count = 0;
  while (!milo_parser_at(p, ')')) {
    if (count > 0 && !milo_parser_take(p, ',')) return milo_parser_expected(p, "',' or ')'");
    milo_arg arg;
    if (!parse_argument(p, list, &arg)) return false;
    milo_scratch_reserve(&p->args, (count + 1) * sizeof arg);
    ((milo_arg *)p->args.data)[count++] = arg;
  }
  milo_parser_advance(p);
  if (count == 0) return true;
  op->args = milo_arena_copy(p->arena, p->args.data, count * sizeof(milo_arg));
  op->arg_count = op->arg_capacity = count;
  return true;
}

// The constexpr operations of iOS16 have their operands among the attributes.
static void attributes_to_arguments(milo_parser *p, milo_op *op) {
  if (strncmp(op->name, "constexpr_", 10) != 0) return;
  size_t kept = 0;
  for (size_t i = 0; i < op->attrs.count; i++) {
    const milo_attr attr = op->attrs.items[i];
    const bool is_operand = op->code == MILO_OP_unknown
                                ? strcmp(attr.name, "name") != 0
                                : milo_op_param(op->code, attr.name) != NULL;
    if (!is_operand || milo_op_arg(op, attr.name)) {
      op->attrs.items[kept++] = attr;
      continue;
    }
    milo_value *value = milo_value_literal(p->arena, attr.value);
    milo_op_add_arg(op, attr.name, &value, 1);
    op->args[op->arg_count - 1].as_attribute = true;
  }
  op->attrs.count = kept;
}

static bool parse_block_body(milo_parser *p, milo_block *block);

// [ name ] [ "(" [ type name { "," type name } ] ")" ] [ attributes ] block
static bool parse_nested_block(milo_parser *p, milo_op *op) {
  if (!milo_parser_enter(p)) return false;
  const size_t mark = p->log_count;
  milo_block *block = milo_op_add_block(op);
  bool parsed = true;
  if (p->token.kind == MILO_TOKEN_NAME) {
    block->name = milo_parser_copy(p, &p->token);
    milo_parser_advance(p);
  }
  if (milo_parser_take(p, '(')) {
    while (parsed && !milo_parser_take(p, ')')) {
      milo_type type;
      milo_token token;
      parsed = (block->param_count == 0 || milo_parser_expect(p, ',')) &&
               milo_parser_type(p, &type) && expect_name(p, "a parameter's name", &token);
      if (!parsed) break;
      milo_name *name = intern(p, &token);
      milo_names_define(p, name, milo_block_add_param(block, name->text, type));
    }
  }
  parsed = parsed && parse_attrs(p, &block->attrs, NULL) && parse_block_body(p, block);
  milo_names_close(p, mark);
  milo_parser_leave(p);
  return parsed;
}

// The values stand in the program's arena, their names on the stack of results: what they are
// called is defined after the operation.
static bool parse_results(milo_parser *p, milo_value ***out, size_t *out_count) {
  if (!milo_parser_at_type(p)) {
    // `opname(`, `opname<opset>(`: an operation without results. Else a type is missing or
    // misspelt.
    const bool is_op = p->ahead.kind == MILO_TOKEN_PUNCT && strchr("(<", p->ahead.punct);
    milo_type type;
    return p->token.kind == MILO_TOKEN_NAME && is_op ? true : milo_parser_type(p, &type);
  }
  size_t capacity = 0;
  do {
    milo_token token;
    milo_value *value = MILO_NEW(p->arena, milo_value);
    if (!milo_parser_type(p, &value->type)) return false;
    if (!expect_name(p, "a name for the result", &token)) return false;
    milo_name *name = intern(p, &token);
    value->name = name->text;
    value->index = (uint32_t)*out_count;
    milo_scratch_reserve(&p->results, (p->result_count + 1) * sizeof name);
    ((milo_name **)p->results.data)[p->result_count++] = name;
    if (*out_count == 0 && !milo_parser_at(p, ',')) {
      *out = milo_arena_copy(p->arena, &value, sizeof value);
      *out_count = 1;
      break;
    }
    MILO_PUSH(p->arena, *out, *out_count, capacity, value);
  } while (milo_parser_take(p, ','));
  return milo_parser_expect(p, '=');
}

static bool parse_operation(milo_parser *p, milo_block *block, milo_op **out_op) {
  milo_token token;
  if (!expect_name(p, "an operation", &token)) return false;
  milo_name *name = intern(p, &token);
  milo_op *op = milo_op_create_coded(block, NULL, milo_names_opcode(name), name->text,
                                     loc_of(p, token.offset));
  *out_op = op;
  if (milo_parser_take(p, '<')) {
    if (!expect_name(p, "an opset", &token)) return false;
    op->opset = intern(p, &token)->text;
    if (!milo_parser_expect(p, '>')) return false;
  }
  if (!parse_arguments(p, op) || !parse_attrs(p, &op->attrs, NULL)) return false;
  while (milo_parser_at(p, '{') || milo_parser_at(p, '(') ||
         (p->token.kind == MILO_TOKEN_NAME && p->ahead.kind == MILO_TOKEN_PUNCT &&
          strchr("({[", p->ahead.punct) && !milo_parser_at_type(p)))
    if (!parse_nested_block(p, op)) return false;
  attributes_to_arguments(p, op);
  return true;
}

// `func name`: a function begins, whatever went wrong before.
static bool at_function(const milo_parser *p) {
  return milo_parser_at_name(p, "func") && p->ahead.kind == MILO_TOKEN_NAME;
}

// A type at the beginning of a line: most likely a statement, even if no ';' stands before it.
static bool at_new_line(const milo_parser *p) {
  if (!milo_parser_at_type(p)) return false;
  const char *text = p->lexer.source->text;
  size_t at = p->token.offset;
  while (at > 0 && (text[at - 1] == ' ' || text[at - 1] == '\t')) at--;
  return at == 0 || text[at - 1] == '\n';
}

// To the statement after the next ';', or to where the block or function ends.
static void skip_statement(milo_parser *p) {
  while (p->token.kind != MILO_TOKEN_END && !at_function(p) && !at_new_line(p)) {
    if (milo_parser_at(p, '}') && p->ahead.kind == MILO_TOKEN_ARROW) return;
    if (milo_parser_take(p, ';')) return;
    milo_parser_advance(p);
  }
}

static void parse_statement(milo_parser *p, milo_block *block) {
  const size_t base = p->result_count;
  milo_value **results = NULL;
  size_t count = 0;
  milo_op *op = NULL;
  bool parsed = parse_results(p, &results, &count);
  if (!parsed) p->names_lost = true;
  parsed = parsed && parse_operation(p, block, &op);
  // Of a faulty statement too: uses of its results are not wrong as well.
  for (size_t i = 0; i < count; i++) {
    results[i]->def = op;
    milo_names_define(p, ((milo_name **)p->results.data)[base + i], results[i]);
  }
  p->result_count = base;
  if (op) {
    op->results = results;
    op->result_count = op->result_capacity = count;
  }
  if (op && op->code == MILO_OP_const && op->result_count == 1)
    op->results[0]->literal = milo_attrs_find(&op->attrs, "val");
  if (!parsed) {
    skip_statement(p);
  } else if (!milo_parser_take(p, ';')) {
    milo_parser_expected(p, "';'");
    skip_statement(p);
  }
}

// "{" { statement } "}" "->" "(" [ name { "," name } ] ")"
static bool parse_block_body(milo_parser *p, milo_block *block) {
  if (!milo_parser_expect(p, '{')) return false;
  while (!milo_parser_take(p, '}')) {
    if (p->token.kind == MILO_TOKEN_END || at_function(p)) return milo_parser_expected(p, "'}'");
    parse_statement(p, block);
  }
  if (!expect_arrow(p) || !milo_parser_expect(p, '(')) return false;
  while (!milo_parser_take(p, ')')) {
    milo_token token;
    if (block->output_count > 0 && !milo_parser_take(p, ','))
      return milo_parser_expected(p, "',' or ')'");
    if (!expect_name(p, "a value's name", &token)) return false;
    milo_value *value = use(p, &token);
    MILO_PUSH(p->arena, block->outputs, block->output_count, block->output_capacity, value);
  }
  return true;
}

// ---- functions ----

static bool parse_params(milo_parser *p, milo_func *func) {
  if (!milo_parser_expect(p, '(')) return false;
  while (!milo_parser_at(p, ')')) {
    milo_type type;
    milo_token token;
    const size_t index = func->body->param_count;
    if (index > 0 && !milo_parser_take(p, ',')) return milo_parser_expected(p, "',' or ')'");
    if (!milo_parser_type(p, &type) || !expect_name(p, "an input's name", &token)) return false;
    milo_name *name = intern(p, &token);
    milo_names_define(p, name, milo_func_add_param(func, name->text, type));
    if (!parse_attrs(p, &func->param_attrs[index], NULL)) return false;
  }
  milo_parser_advance(p);
  return true;
}

// "func" name [ "<" opset ">" ] "(" params ")" [ attributes ] block ";"
static bool parse_function(milo_parser *p) {
  milo_token name, opset = {0};
  const size_t start = p->token.offset;
  if (!milo_parser_at_name(p, "func")) return milo_parser_expected(p, "func");
  milo_parser_advance(p);
  if (!expect_name(p, "the function's name", &name)) return false;
  if (milo_parser_take(p, '<'))
    if (!expect_name(p, "an opset", &opset) || !milo_parser_expect(p, '>')) return false;
  milo_name *interned = intern(p, &name);
  if (interned->is_function)
    milo_parser_fail(p, name.offset, "function '%s' is defined twice", interned->text);
  interned->is_function = true;
  milo_func *func = milo_program_add_func(p->program, interned->text,
                                          opset.bytes ? intern(p, &opset)->text : NULL);
  func->loc = loc_of(p, start);
  return parse_params(p, func) && parse_attrs(p, &func->attrs, NULL) &&
         parse_block_body(p, func->body) && milo_parser_expect(p, ';');
}

// ---- programs ----

static bool parse_version(milo_parser *p) {
  const milo_token token = p->token;
  const char *text = milo_parser_text(p, &token);
  const char *end = text + token.bytes;
  if (token.kind != MILO_TOKEN_NUMBER) return milo_parser_expected(p, "a version (1.0 or 1.3)");
  const bool known = token.bytes >= 3 && token.bytes <= 4 && text[0] == '1' && text[1] == '.' &&
                     strspn(text + 2, "0123456789") >= (size_t)(end - text - 2);
  if (!known)
    return milo_parser_fail(p, token.offset,
                            "unknown version '%.*s'\nMIL's versions are 1.0 to 1.3",
                            token.bytes > 40 ? 40 : (int)token.bytes, text);
  p->program->version_major = 1;
  p->program->version_minor = atoi(text + 2);
  milo_parser_advance(p);
  return true;
}

static void parse_program(milo_parser *p) {
  if (!milo_parser_at_name(p, "program")) {
    milo_parser_expected(p, "program");
    return;
  }
  milo_parser_advance(p);
  if (!milo_parser_expect(p, '(') || !parse_version(p) || !milo_parser_expect(p, ')') ||
      !parse_attrs(p, &p->program->attrs, &p->program->has_attrs) || !milo_parser_expect(p, '{'))
    return;
  while (!milo_parser_take(p, '}')) {
    const size_t mark = p->log_count;
    const bool parsed = parse_function(p);
    milo_names_close(p, mark);
    p->names_lost = false;
    if (parsed) continue;
    p->depth = 0;
    while (p->token.kind != MILO_TOKEN_END && !at_function(p)) milo_parser_advance(p);
    if (p->token.kind == MILO_TOKEN_END) return;
  }
  if (p->token.kind != MILO_TOKEN_END) milo_parser_expected(p, "the end of the text");
}

void milo_scratch_reserve(milo_scratch *scratch, size_t bytes) {
  if (bytes <= scratch->capacity) return;
  size_t capacity = scratch->capacity ? scratch->capacity : 256;
  while (capacity < bytes) capacity *= 2;
  void *data = realloc(scratch->data, capacity);
  if (!data) milo_out_of_memory(capacity);
  memset((char *)data + scratch->capacity, 0, capacity - scratch->capacity);
  scratch->data = data;
  scratch->capacity = capacity;
}

static void deinit(milo_parser *p) {
  milo_scratch *all[] = {&p->numbers, &p->strings, &p->attrs, &p->args,
                         &p->values,  &p->results, &p->slots, &p->log};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]->data);
  milo_arena_deinit(&p->names);
}

// text is the program's already.
static milo_status parse_source(milo_program *program, const char *text, size_t bytes,
                                const char *name, milo_diag *diag, milo_program **out_program) {
  milo_source *source = MILO_NEW(&program->arena, milo_source);
  source->name = milo_arena_strdup(&program->arena, name);
  source->text = text;
  source->bytes = bytes;
  program->final_newline = bytes > 0 && text[bytes - 1] == '\n';

  milo_parser p = {.diag = diag, .program = program, .arena = &program->arena};
  milo_lexer_init(&p.lexer, source, diag);
  milo_parser_advance(&p);
  milo_parser_advance(&p);
  parse_program(&p);
  deinit(&p);
  if (p.errors + p.lexer.errors > 0) {
    milo_program_destroy(program);
    return MILO_ERR_INVALID;
  }
  *out_program = program;
  return MILO_OK;
}

milo_status milo_text_parse(const char *text, size_t bytes, const char *name, milo_diag *diag,
                            milo_program **out_program) {
  *out_program = NULL;
  milo_program *program = milo_program_create();
  const char *copy = milo_arena_strndup(&program->arena, text, bytes);
  return parse_source(program, copy, bytes, name, diag, out_program);
}

milo_status milo_text_parse_owned(char *text, size_t bytes, const char *name, milo_diag *diag,
                                  milo_program **out_program) {
  *out_program = NULL;
  milo_program *program = milo_program_create();
  milo_program_on_free(program, free, text);
  return parse_source(program, text, bytes, name, diag, out_program);
}
