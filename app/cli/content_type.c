#include "app/cli/content_type.h"

#include <stddef.h>

static const struct {
    const char *ending;
    const char *type;
} known[] = {
    {".pdf", "application/pdf"},
    {".txt", "text/plain"},
    {".log", "text/plain"},
    {".md", "text/markdown"},
    {".csv", "text/csv"},
    {".html", "text/html"},
    {".htm", "text/html"},
    {".css", "text/css"},
    {".ics", "text/calendar"},
    {".vcf", "text/vcard"},
    {".xml", "application/xml"},
    {".json", "application/json"},
    {".png", "image/png"},
    {".jpg", "image/jpeg"},
    {".jpeg", "image/jpeg"},
    {".gif", "image/gif"},
    {".webp", "image/webp"},
    {".svg", "image/svg+xml"},
    {".tif", "image/tiff"},
    {".tiff", "image/tiff"},
    {".mp3", "audio/mpeg"},
    {".ogg", "audio/ogg"},
    {".wav", "audio/wav"},
    {".mp4", "video/mp4"},
    {".webm", "video/webm"},
    {".zip", "application/zip"},
    {".gz", "application/gzip"},
    {".tgz", "application/gzip"},
    {".tar", "application/x-tar"},
    {".rtf", "application/rtf"},
    {".doc", "application/msword"},
    {".xls", "application/vnd.ms-excel"},
    {".ppt", "application/vnd.ms-powerpoint"},
    {".docx", "application/"
              "vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {".xlsx", "application/"
              "vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {".pptx", "application/"
              "vnd.openxmlformats-officedocument.presentationml.presentation"},
    {".odt", "application/vnd.oasis.opendocument.text"},
    {".ods", "application/vnd.oasis.opendocument.spreadsheet"},
    {".odp", "application/vnd.oasis.opendocument.presentation"},
    {".p7s", "application/pkcs7-signature"},
    {".asc", "application/pgp-signature"},
};

const char *content_type_of(struct str file_name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (str_ends_nocase(file_name, str_from(known[i].ending)))
            return known[i].type;
    return "application/octet-stream";
}
