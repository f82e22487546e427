/* dot_text.c - see dot_text.h. */
#include "dot_text.h"

#include <stdlib.h>

#include "err.h"

#define FONT "fontname=\"Helvetica\""

void dot_quoted(FILE *f, const char *text)
{
    fputc('"', f);
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            fputc('\\', f);
        fputc((unsigned char)*text < ' ' ? ' ' : *text, f);
    }
    fputc('"', f);
}

void dot_head(FILE *f, const char *title)
{
    fputs("digraph nasfarm {\n  graph [rankdir=TB, ranksep=0.35, nodesep=0.25, " FONT
          ", fontsize=14, label=",
          f);
    dot_quoted(f, title);
    fputs(", labelloc=t];\n  node [shape=box, style=\"rounded,filled\", fillcolor=white, "
          "color=\"#666666\", penwidth=0.8, " FONT
          ", fontsize=11, margin=\"0.12,0.05\", height=0.3];\n"
          "  edge [color=\"#555555\", arrowsize=0.6];\n",
          f);
}

int dot_finish(FILE *f, char **text, char **out)
{
    int bad = ferror(f);

    if (fclose(f) != 0 || bad) {
        free(*text);
        return FARM_ENOMEM;
    }
    *out = *text;
    return FARM_OK;
}
