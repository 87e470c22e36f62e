#include "config/twice.h"

#include <stddef.h>

#include "core/mem.h"

struct seen {
    struct str name;
    unsigned line;
    size_t depth;
};

/* A walk over the text; seen has the names of the groups around here. */
struct walk {
    struct str text;
    size_t at;
    unsigned line;
    size_t depth;
    struct seen *seen;
    size_t count;
    size_t capacity;
};

static char peek(const struct walk *w, size_t ahead)
{
    size_t at = w->at + ahead;
    if (at >= w->text.len)
        return '\0';
    return w->text.data[at];
}

static void step(struct walk *w)
{
    w->line += peek(w, 0) == '\n' ? 1 : 0;
    w->at++;
}

static void skip_string(struct walk *w)
{
    step(w);
    while (w->at < w->text.len && peek(w, 0) != '"') {
        if (peek(w, 0) == '\\')
            step(w);
        step(w);
    }
    step(w);
}

static void skip_line(struct walk *w)
{
    while (w->at < w->text.len && peek(w, 0) != '\n')
        step(w);
}

static void skip_comment(struct walk *w)
{
    w->at += 2;
    while (w->at < w->text.len && !(peek(w, 0) == '*' && peek(w, 1) == '/'))
        step(w);
    w->at += 2;
}

static bool is_word(char c)
{
    return ascii_is_alpha(c) || ascii_is_digit(c) || c == '*' || c == '-' ||
           c == '_';
}

static struct str take_word(struct walk *w)
{
    size_t first = w->at;
    while (is_word(peek(w, 0)))
        w->at++;
    return str_of(w->text.data + first, w->at - first);
}

/* Whether what comes next makes a setting of the word before it. */
static bool is_set(const struct walk *w)
{
    struct str rest = str_trim(str_after(w->text, w->at));
    return rest.len > 0 && (rest.data[0] == '=' || rest.data[0] == ':');
}

static bool was_seen(struct walk *w, struct str name, struct twice *out)
{
    for (size_t i = w->count; i > 0 && w->seen[i - 1].depth == w->depth; i--) {
        if (!str_equal(w->seen[i - 1].name, name))
            continue;
        *out = (struct twice){name, w->seen[i - 1].line, w->line};
        return true;
    }
    if (w->count == w->capacity) {
        w->capacity = w->capacity == 0 ? 64 : w->capacity * 2;
        w->seen = mem_realloc(w->seen, w->capacity * sizeof(*w->seen));
    }
    w->seen[w->count++] = (struct seen){name, w->line, w->depth};
    return false;
}

static void close_group(struct walk *w)
{
    while (w->count > 0 && w->seen[w->count - 1].depth == w->depth)
        w->count--;
    if (w->depth > 0)
        w->depth--;
}

bool twice_find(struct str text, struct twice *out)
{
    struct walk w = {.text = text, .line = 1};
    bool found = false;
    while (w.at < text.len && !found) {
        char c = peek(&w, 0);
        if (c == '"') {
            skip_string(&w);
        } else if (c == '#' || (c == '/' && peek(&w, 1) == '/')) {
            skip_line(&w);
        } else if (c == '/' && peek(&w, 1) == '*') {
            skip_comment(&w);
        } else if (is_word(c)) {
            struct str word = take_word(&w);
            found = is_set(&w) && was_seen(&w, word, out);
        } else {
            if (c == '{')
                w.depth++;
            else if (c == '}')
                close_group(&w);
            step(&w);
        }
    }
    mem_free(w.seen);
    return found;
}
