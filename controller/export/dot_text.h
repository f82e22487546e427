/* dot_text.h - what all drawings begin and end with. Only controller/export/ includes it. */
#ifndef NASFARM_DOT_TEXT_H
#define NASFARM_DOT_TEXT_H

#include <stdio.h>

/* A quoted DOT string; control characters become spaces. */
void dot_quoted(FILE *f, const char *text);
/* The beginning of a digraph: fonts, boxes, and its title, which may be "". */
void dot_head(FILE *f, const char *title);
/* Closes the stream; *out is the caller's only when all of *text was written: FARM_OK or FARM_ENOMEM. */
int dot_finish(FILE *f, char **text, char **out);

#endif
