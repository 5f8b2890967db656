// SPDX-License-Identifier: MIT
// The words and plots of the stories: data for stories.c.
//
// A template is text in which
//   {one|two|three}  stands for one of the alternatives, drawn each time; they may nest
//   $name            stands for a variable of the story; $Name is the same with a capital letter
// Variables: hero he him his, kind trait, pal phe phim phis (the friend), elder ehe ehim ehis (a
// grown-up of the hero's family: "mom", used as "$his $elder"), look (a colour), toy, place, food,
// weather, and a to f: the fields of the plot's row that the story drew.
#ifndef MILO_TOOL_STORIES_PLOTS_H
#define MILO_TOOL_STORIES_PLOTS_H

#include <stddef.h>

enum { STORY_FIELDS = 6 };

typedef struct story_plot {
  const char *const (*rows)[STORY_FIELDS];  // templates themselves
  size_t row_count;
  const char *text;
} story_plot;

typedef struct story_words {
  const char *const *items;
  size_t count;
} story_words;

typedef enum story_list {
  STORY_GIRLS,
  STORY_BOYS,
  STORY_ANIMALS,
  STORY_TRAITS,
  STORY_LOOKS,
  STORY_TOYS,
  STORY_PLACES,
  STORY_FOODS,
  STORY_WEATHERS,
  STORY_LISTS
} story_list;

extern const story_words story_lists[STORY_LISTS];
extern const char *const story_opening;
extern const story_plot story_plots[];
extern const size_t story_plot_count;

#endif
