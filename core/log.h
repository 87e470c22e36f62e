#ifndef CORE_LOG_H
#define CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/str.h"

/*
 * One line an event on one descriptor, written whole by one write(2):
 *
 *   2026-11-20T11:22:33.456Z info event=job.delivered job=01k... relay=main
 *
 * Values with anything but visible ASCII, or with a quote, a backslash or a
 * blank, are quoted and escaped, so that a line is always one line and always
 * splits. Event names are stable: they are an interface.
 *
 * Never log a secret or any part of a message's body.
 *
 * Threads: all functions may be called from any thread. Level and descriptor
 * are the process's, set once at start: the one state of this library that is
 * not in an object, because every line of code may need it.
 */
enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
};

struct log_field {
    const char *key;
    struct str text;
    int64_t number;
    bool is_number;
};

static inline struct log_field log_field_text(const char *key, struct str text)
{
    return (struct log_field){.key = key, .text = text};
}

static inline struct log_field log_field_int(const char *key, int64_t number)
{
    return (struct log_field){.key = key, .number = number, .is_number = true};
}

/* Fields of log_event(): C strings (NULL is empty), views, integers. */
#define LOG_TEXT(key, text)  log_field_text((key), str_from(text))
#define LOG_STR(key, view)   log_field_text((key), (view))
#define LOG_INT(key, number) log_field_int((key), (int64_t)(number))

/* log_event(LOG_LEVEL_INFO, "job.accepted", LOG_TEXT("job", id), ...) */
#define log_event(level, event, ...)                                           \
    do {                                                                       \
        if (log_enabled(level))                                                \
            log_write((level), (event),                                        \
                      (const struct log_field[]){__VA_ARGS__},                 \
                      sizeof((const struct log_field[]){__VA_ARGS__}) /        \
                          sizeof(struct log_field));                           \
    } while (0)

/* Descriptor to write to (default 2, stderr) and the least urgent level. */
void log_setup(int fd, enum log_level level);

bool log_enabled(enum log_level level);

/* "error" "warning" "info" "debug" → level; false for another word. */
bool log_level_parse(struct str word, enum log_level *level);

/*
 * Blocking: as long as write(2) to the descriptor does. A line over 4 KiB is
 * cut; a line that cannot be written is dropped.
 */
void log_write(enum log_level level, const char *event,
               const struct log_field *fields, size_t count);

#endif
