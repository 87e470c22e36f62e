#include "core/timetext.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

struct unit {
    struct str suffix;
    int64_t factor;
};

static const struct unit duration_units[] = {
    {{"ms", 2}, 1},      {{"s", 1}, 1000},           {{"m", 1}, 60000},
    {{"h", 1}, 3600000}, {{"d", 1}, 24LL * 3600000},
};

static const struct unit size_units[] = {
    {{"", 0}, 1},
    {{"K", 1}, 1024},
    {{"M", 1}, 1024LL * 1024},
    {{"G", 1}, 1024LL * 1024 * 1024},
};

static const struct unit rate_units[] = {
    {{"/s", 2}, 1},
    {{"/m", 2}, 60},
    {{"/h", 2}, 3600},
};

/* 9999-12-31T23:59:59.999Z */
#define REAL_MAX_MS 253402300799999LL

#define DURATION_MAX_MS (3650LL * 24 * 3600000)
#define SIZE_MAX_BYTES  (1LL << 53)
#define RATE_MAX        1000000000000ULL
#define RATE_DECIMALS   9

static bool digits(struct str s, size_t at, size_t count, int *out)
{
    int value = 0;
    if (at + count > s.len)
        return false;
    for (size_t i = at; i < at + count; i++) {
        if (!ascii_is_digit(s.data[i]))
            return false;
        value = value * 10 + (s.data[i] - '0');
    }
    *out = value;
    return true;
}

static bool has(struct str s, size_t at, char c)
{
    return at < s.len && ascii_lower(s.data[at]) == c;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Fraction of a second at *at, cut to milliseconds. */
static bool parse_fraction(struct str s, size_t *at, int *ms)
{
    int scale = 100;
    size_t first = ++*at;
    *ms = 0;
    while (*at < s.len && ascii_is_digit(s.data[*at])) {
        *ms += (s.data[*at] - '0') * scale;
        scale /= 10;
        ++*at;
    }
    return *at > first;
}

/* "Z" or "+hh:mm" at `at`, to the end of s. */
static bool parse_offset(struct str s, size_t at, int *offset_min)
{
    int hours;
    int minutes;
    *offset_min = 0;
    if (has(s, at, 'z'))
        return at + 1 == s.len;
    if (!has(s, at, '+') && !has(s, at, '-'))
        return false;
    if (!digits(s, at + 1, 2, &hours) || !has(s, at + 3, ':') ||
        !digits(s, at + 4, 2, &minutes) || at + 6 != s.len || hours > 23 ||
        minutes > 59)
        return false;
    *offset_min = (hours * 60 + minutes) * (s.data[at] == '-' ? -1 : 1);
    return true;
}

enum err_code timetext_parse_rfc3339(struct str s, int64_t *real_ms)
{
    int year;
    int month;
    int day;
    int hour;
    int minute;
    int second;
    int ms = 0;
    int offset_min;
    size_t at = 19;
    if (!digits(s, 0, 4, &year) || !has(s, 4, '-') ||
        !digits(s, 5, 2, &month) || !has(s, 7, '-') || !digits(s, 8, 2, &day) ||
        !has(s, 10, 't') || !digits(s, 11, 2, &hour) || !has(s, 13, ':') ||
        !digits(s, 14, 2, &minute) || !has(s, 16, ':') ||
        !digits(s, 17, 2, &second))
        return ERR_INVALID;
    if (has(s, at, '.') && !parse_fraction(s, &at, &ms))
        return ERR_INVALID;
    if (!parse_offset(s, at, &offset_min))
        return ERR_INVALID;
    if (year < 1970 || month < 1 || month > 12 || day < 1 ||
        day > days_in(year, month) || hour > 23 || minute > 59 || second > 60)
        return ERR_INVALID;
    struct tm tm = {.tm_year = year - 1900,
                    .tm_mon = month - 1,
                    .tm_mday = day,
                    .tm_hour = hour,
                    .tm_min = minute,
                    .tm_sec = second == 60 ? 59 : second};
    int64_t value = ((int64_t)timegm(&tm) - offset_min * 60LL) * 1000 + ms;
    if (value < 0 || value > REAL_MAX_MS)
        return ERR_INVALID;
    *real_ms = value;
    return ERR_NONE;
}

static struct tm utc(int64_t real_ms)
{
    time_t seconds = (time_t)(real_ms / 1000);
    struct tm tm = {0};
    (void)gmtime_r(&seconds, &tm);
    return tm;
}

/*
 * The last `width` digits of value, and where the next text goes: the times of
 * log lines and messages are written several times a job, and snprintf takes
 * longer than all else in them.
 */
static char *put_digits(char *out, int value, size_t width)
{
    unsigned rest = (unsigned)value;
    for (size_t i = width; i > 0; i--) {
        out[i - 1] = (char)('0' + rest % 10);
        rest /= 10;
    }
    return out + width;
}

static char *put_text(char *out, const char *text)
{
    size_t len = strlen(text);
    memcpy(out, text, len);
    return out + len;
}

/* "17:04:59" */
static char *put_clock(char *out, const struct tm *tm)
{
    out = put_digits(out, tm->tm_hour, 2);
    *out++ = ':';
    out = put_digits(out, tm->tm_min, 2);
    *out++ = ':';
    return put_digits(out, tm->tm_sec, 2);
}

void timetext_rfc3339(int64_t real_ms, char out[TIMETEXT_RFC3339_MAX])
{
    struct tm tm = utc(real_ms);
    out = put_digits(out, tm.tm_year + 1900, 4);
    *out++ = '-';
    out = put_digits(out, tm.tm_mon + 1, 2);
    *out++ = '-';
    out = put_digits(out, tm.tm_mday, 2);
    *out++ = 'T';
    out = put_clock(out, &tm);
    *out++ = '.';
    out = put_digits(out, (int)(real_ms % 1000), 3);
    *out++ = 'Z';
    *out = '\0';
}

void timetext_rfc5322(int64_t real_ms, char out[TIMETEXT_RFC5322_MAX])
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed",
                                   "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = utc(real_ms);
    out = put_text(out, days[tm.tm_wday]);
    out = put_text(out, ", ");
    out = put_digits(out, tm.tm_mday, tm.tm_mday < 10 ? 1 : 2);
    *out++ = ' ';
    out = put_text(out, months[tm.tm_mon]);
    *out++ = ' ';
    out = put_digits(out, tm.tm_year + 1900, 4);
    *out++ = ' ';
    out = put_clock(out, &tm);
    out = put_text(out, " +0000");
    *out = '\0';
}

/* The leading digits of s as *number, what follows as *rest. */
static bool split_number(struct str s, unsigned long long *number,
                         struct str *rest)
{
    size_t end = 0;
    while (end < s.len && ascii_is_digit(s.data[end]))
        end++;
    *rest = str_after(s, end);
    return str_to_u64(str_of(s.data, end), 1ULL << 53, number);
}

static const struct unit *find_unit(const struct unit *units, size_t count,
                                    struct str suffix)
{
    for (size_t i = 0; i < count; i++)
        if (str_equal(units[i].suffix, suffix))
            return &units[i];
    return NULL;
}

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum err_code timetext_parse_duration(struct str text, int64_t *ms,
                                      struct err *err)
{
    unsigned long long number;
    struct str suffix;
    if (str_equal(text, STR("0"))) {
        *ms = 0;
        return ERR_NONE;
    }
    if (!split_number(text, &number, &suffix))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no duration: write a whole number and a "
                       "unit (ms s m h d), for example \"30s\"",
                       STR_ARG(text));
    const struct unit *unit =
        find_unit(duration_units, COUNT(duration_units), suffix);
    if (unit == NULL)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" has no unit of time: use ms, s, m, h or d, "
                       "for example \"30s\"",
                       STR_ARG(text));
    if (number > (unsigned long long)(DURATION_MAX_MS / unit->factor))
        return err_set(err, ERR_INVALID, "\"%.*s\" is more than ten years",
                       STR_ARG(text));
    *ms = (int64_t)number * unit->factor;
    return ERR_NONE;
}

enum err_code timetext_parse_size(struct str text, int64_t *bytes,
                                  struct err *err)
{
    unsigned long long number;
    struct str suffix;
    const struct unit *unit = NULL;
    if (split_number(text, &number, &suffix))
        unit = find_unit(size_units, COUNT(size_units), suffix);
    if (unit == NULL)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no size: write a whole number of bytes, or "
                       "one with K, M or G, for example \"64K\"",
                       STR_ARG(text));
    if (number > (unsigned long long)(SIZE_MAX_BYTES / unit->factor))
        return err_set(err, ERR_INVALID, "\"%.*s\" is too large",
                       STR_ARG(text));
    *bytes = (int64_t)number * unit->factor;
    return ERR_NONE;
}

/* The leading number of s, what follows as *rest. */
static bool split_decimal(struct str s, double *number, struct str *rest)
{
    size_t whole = 0;
    unsigned long long value;
    unsigned long long decimals = 0;
    double scale = 1.0;
    while (whole < s.len && ascii_is_digit(s.data[whole]))
        whole++;
    if (!str_to_u64(str_of(s.data, whole), RATE_MAX, &value))
        return false;
    size_t end = whole;
    if (end < s.len && s.data[end] == '.') {
        for (end++; end < s.len && ascii_is_digit(s.data[end]); end++)
            scale *= 10.0;
        if (end - whole - 1 > RATE_DECIMALS ||
            !str_to_u64(str_of(s.data + whole + 1, end - whole - 1), UINT64_MAX,
                        &decimals))
            return false;
    }
    *number = (double)value + (double)decimals / scale;
    *rest = str_after(s, end);
    return *number > 0.0;
}

enum err_code timetext_parse_rate(struct str text, double *per_s,
                                  struct err *err)
{
    double number;
    struct str suffix;
    if (!split_decimal(text, &number, &suffix))
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no rate: write a number above 0 and a "
                       "time (/s /m /h), for example \"14/s\"",
                       STR_ARG(text));
    const struct unit *unit = find_unit(rate_units, COUNT(rate_units), suffix);
    if (unit == NULL && suffix.len > 0)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" is no rate: behind the number may come /s, "
                       "/m or /h and nothing else, for example \"14/s\"",
                       STR_ARG(text));
    if (unit == NULL)
        return err_set(err, ERR_INVALID,
                       "\"%.*s\" does not say in which time: write /s, /m or "
                       "/h behind the number, for example \"14/s\"",
                       STR_ARG(text));
    *per_s = number / (double)unit->factor;
    return ERR_NONE;
}

void timetext_add_rate(struct buf *out, double per_s)
{
    char number[64];
    size_t i = 0;
    while (i + 1 < COUNT(rate_units) &&
           per_s * (double)rate_units[i].factor < 0.9995)
        i++;
    int len = snprintf(number, sizeof(number), "%.3f",
                       per_s * (double)rate_units[i].factor);
    size_t end = len > 0 && (size_t)len < sizeof(number) ? (size_t)len : 0;
    while (end > 0 && number[end - 1] == '0')
        end--;
    if (end > 0 && number[end - 1] == '.')
        end--;
    buf_add_str(out, str_of(number, end));
    buf_add_str(out, rate_units[i].suffix);
}

static void add_in_units(struct buf *out, int64_t value,
                         const struct unit *units, size_t count)
{
    const struct unit *best = &units[0];
    for (size_t i = 0; i < count; i++)
        if (value != 0 && value % units[i].factor == 0)
            best = &units[i];
    buf_add_i64(out, value / best->factor);
    if (value != 0)
        buf_add_str(out, best->suffix);
}

void timetext_add_duration(struct buf *out, int64_t ms)
{
    add_in_units(out, ms, duration_units, COUNT(duration_units));
}

void timetext_add_size(struct buf *out, int64_t bytes)
{
    add_in_units(out, bytes, size_units, COUNT(size_units));
}
