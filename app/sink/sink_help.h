#ifndef APP_SINK_SINK_HELP_H
#define APP_SINK_SINK_HELP_H

#include <stdio.h>

/* All of --help. */
void sink_help_print(FILE *out);

#endif
