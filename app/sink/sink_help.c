#include "app/sink/sink_help.h"

void sink_help_print(FILE *out)
{
    (void)fputs("usage: postrider-sink OPTIONS\n", out);
}
