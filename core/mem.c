#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

#include "core/panic.h"

void *mem_alloc(size_t size_bytes)
{
    void *memory = malloc(size_bytes > 0 ? size_bytes : 1);
    if (memory == NULL)
        PANIC("out of memory for %zu bytes", size_bytes);
    return memory;
}

void *mem_calloc(size_t count, size_t size_bytes)
{
    void *memory = calloc(count > 0 ? count : 1, size_bytes ? size_bytes : 1);
    if (memory == NULL)
        PANIC("out of memory for %zu times %zu bytes", count, size_bytes);
    return memory;
}

void *mem_realloc(void *memory, size_t size_bytes)
{
    void *moved = realloc(memory, size_bytes > 0 ? size_bytes : 1);
    if (moved == NULL)
        PANIC("out of memory for %zu bytes", size_bytes);
    return moved;
}

char *mem_strdup(struct str s)
{
    PANIC_IF(s.len > 0 && memchr(s.data, '\0', s.len) != NULL);
    char *copy = mem_alloc(s.len + 1);
    if (s.len > 0)
        memcpy(copy, s.data, s.len);
    copy[s.len] = '\0';
    return copy;
}

void *mem_try_alloc(size_t size_bytes)
{
    return malloc(size_bytes > 0 ? size_bytes : 1);
}

void mem_free(void *memory)
{
    free(memory);
}
