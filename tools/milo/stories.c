// SPDX-License-Identifier: MIT
// Draws a plot and its people and things, then expands the plot's template.
#include "stories.h"

#include <assert.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "stories_plots.h"

enum { VARIABLES = 24, MAX_NAME = 8 };

typedef struct variable {
  const char *name, *value;
} variable;

typedef struct story {
  uint64_t state;
  variable variables[VARIABLES];
  size_t variable_count;
  char *text;
  size_t bytes, capacity;
  bool failed;  // out of memory
} story;

// splitmix64 (Steele, Lea, Flood 2014).
static uint64_t next_random(uint64_t *state) {
  uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
  z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
  return z ^ (z >> 31);
}

static size_t draw(story *s, size_t n) { return (size_t)((next_random(&s->state) >> 32) % n); }

static const char *draw_word(story *s, story_list list) {
  return story_lists[list].items[draw(s, story_lists[list].count)];
}

static void put(story *s, const char *data, size_t bytes) {
  if (s->failed || bytes == 0) return;
  if (s->bytes + bytes + 1 > s->capacity) {
    const size_t wanted = 2 * (s->bytes + bytes) + 4096;
    char *grown = realloc(s->text, wanted);
    if (!grown) {
      s->failed = true;
      return;
    }
    s->text = grown;
    s->capacity = wanted;
  }
  memcpy(s->text + s->bytes, data, bytes);
  s->bytes += bytes;
  s->text[s->bytes] = 0;
}

static void set(story *s, const char *name, const char *value) {
  assert(s->variable_count < VARIABLES);
  s->variables[s->variable_count++] = (variable){name, value};
}

static void set_person(story *s, bool female, const char *const names[3]) {
  static const char *const words[2][3] = {{"he", "him", "his"}, {"she", "her", "her"}};
  for (int i = 0; i < 3; i++) set(s, names[i], words[female][i]);
}

static const char *find_variable(const story *s, const char *name, size_t bytes) {
  for (size_t i = 0; i < s->variable_count; i++)
    if (strlen(s->variables[i].name) == bytes && memcmp(s->variables[i].name, name, bytes) == 0)
      return s->variables[i].value;
  assert(!"a template names an unknown variable");
  return "";
}

// The end of the alternative that starts at text: its '|' or '}' on the same level.
static const char *alternative_end(const char *text) {
  int depth = 0;
  for (;; text++) {
    assert(*text && "a template's braces do not match");
    if (depth == 0 && (*text == '|' || *text == '}')) return text;
    depth += (*text == '{') - (*text == '}');
  }
}

static void expand(story *s, const char *text, size_t bytes);

// text is behind the '{'; returns what is behind its '}'.
static const char *expand_choice(story *s, const char *text) {
  size_t count = 1;
  const char *end = alternative_end(text);
  for (; *end == '|'; end = alternative_end(end + 1)) count++;
  for (size_t skip = draw(s, count); skip; skip--) text = alternative_end(text) + 1;
  expand(s, text, (size_t)(alternative_end(text) - text));
  return end + 1;
}

// text is behind the '$'; returns what is behind the name.
static const char *expand_variable(story *s, const char *text, const char *end) {
  char name[MAX_NAME] = "";
  size_t bytes = 0;
  while (text + bytes < end && isalpha((unsigned char)text[bytes]) && bytes < MAX_NAME) {
    name[bytes] = text[bytes];
    bytes++;
  }
  assert(bytes > 0);
  const bool capital = isupper((unsigned char)name[0]);
  name[0] = (char)tolower((unsigned char)name[0]);
  const char *value = find_variable(s, name, bytes);
  const size_t at = s->bytes;
  expand(s, value, strlen(value));
  if (capital && !s->failed) s->text[at] = (char)toupper((unsigned char)s->text[at]);
  return text + bytes;
}

static void expand(story *s, const char *text, size_t bytes) {
  const char *end = text + bytes;
  while (text < end) {
    const char *plain = text;
    while (text < end && *text != '{' && *text != '$') text++;
    put(s, plain, (size_t)(text - plain));
    if (text == end) break;
    text = *text == '{' ? expand_choice(s, text + 1) : expand_variable(s, text + 1, end);
  }
}

static void draw_people(story *s) {
  static const char *const hero_words[] = {"he", "him", "his"};
  static const char *const pal_words[] = {"phe", "phim", "phis"};
  static const char *const elder_words[] = {"ehe", "ehim", "ehis"};
  static const char *const elders[2][2] = {{"dad", "grandpa"}, {"mom", "grandma"}};
  const bool female = draw(s, 2), pal_female = draw(s, 2), elder_female = draw(s, 2);
  const char *hero = draw_word(s, female ? STORY_GIRLS : STORY_BOYS), *pal = hero;
  while (strcmp(pal, hero) == 0) pal = draw_word(s, pal_female ? STORY_GIRLS : STORY_BOYS);
  set(s, "hero", hero);
  set(s, "pal", pal);
  set(s, "elder", elders[elder_female][draw(s, 2)]);
  set(s, "kind", draw(s, 3) ? (female ? "girl" : "boy") : draw_word(s, STORY_ANIMALS));
  set_person(s, female, hero_words);
  set_person(s, pal_female, pal_words);
  set_person(s, elder_female, elder_words);
}

static void tell(story *s) {
  static const char *const fields[STORY_FIELDS] = {"a", "b", "c", "d", "e", "f"};
  const story_plot *plot = &story_plots[draw(s, story_plot_count)];
  s->variable_count = 0;
  draw_people(s);
  set(s, "trait", draw_word(s, STORY_TRAITS));
  set(s, "look", draw_word(s, STORY_LOOKS));
  set(s, "toy", draw_word(s, STORY_TOYS));
  set(s, "place", draw_word(s, STORY_PLACES));
  set(s, "food", draw_word(s, STORY_FOODS));
  set(s, "weather", draw_word(s, STORY_WEATHERS));
  const char *const *row = plot->rows[draw(s, plot->row_count)];
  for (size_t i = 0; i < STORY_FIELDS; i++)
    if (row[i]) set(s, fields[i], row[i]);
  expand(s, story_opening, strlen(story_opening));
  expand(s, plot->text, strlen(plot->text));
}

char *stories_generate(uint64_t seed, size_t count, size_t *out_bytes) {
  static const char separator[] = "\n<|endoftext|>\n";
  story s = {0};
  *out_bytes = 0;
  for (size_t i = 0; i < count && !s.failed; i++) {
    uint64_t key = seed;
    s.state = next_random(&key) ^ (uint64_t)i * UINT64_C(0xd1342543de82ef95);
    tell(&s);
    put(&s, separator, sizeof separator - 1);
  }
  if (!s.failed && !s.text) s.text = calloc(1, 1);
  if (s.failed) {
    free(s.text);
    return NULL;
  }
  *out_bytes = s.text ? s.bytes : 0;
  return s.text;
}
