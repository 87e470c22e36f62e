#include "queue/spool.h"
#include "queue/store.h"

enum err_code spool_verify_sqlite(const char *path, FILE *out, struct err *err)
{
    return store_verify(path, out, err);
}
