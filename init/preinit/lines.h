/* Text that is put together without libc. */
#pragma once

#include <linux/errno.h>

/* A line that is put together; what does not fit is cut. */
struct line {
  char text[600];
  unsigned long length;
};

static void add(struct line *line, const char *text) {
  while (*text != 0 && line->length < sizeof line->text - 2) line->text[line->length++] = *text++;
  line->text[line->length] = 0;
}

static void add_number(struct line *line, unsigned long value) {
  char digits[24];
  int at = sizeof digits - 1;
  digits[at] = 0;
  do {
    digits[--at] = (char)('0' + value % 10);
    value /= 10;
  } while (value != 0);
  add(line, digits + at);
}

static const char *const error_names[] = {
    [EPERM] = "EPERM",   [ENOENT] = "ENOENT", [EIO] = "EIO",         [ENXIO] = "ENXIO",   [ENOEXEC] = "ENOEXEC",
    [ENOMEM] = "ENOMEM", [EACCES] = "EACCES", [EBUSY] = "EBUSY",     [ENODEV] = "ENODEV", [ENOTDIR] = "ENOTDIR",
    [EINVAL] = "EINVAL", [EROFS] = "EROFS",   [ELIBBAD] = "ELIBBAD",
};

/* The error that a system call returned: "ENOENT (2)", "(95)". */
static void add_error(struct line *line, long result) {
  if (-result < (long)(sizeof error_names / sizeof *error_names) && error_names[-result]) {
    add(line, error_names[-result]);
    add(line, " ");
  }
  add(line, "(");
  add_number(line, (unsigned long)-result);
  add(line, ")");
}

/* "cannot open FILE: ENOENT (2); REMEDY"; without the error where `result` is none. */
static void add_failure(struct line *line, const char *what, const char *subject, long result, const char *remedy) {
  add(line, what);
  add(line, subject);
  if (result < 0) {
    add(line, ": ");
    add_error(line, result);
  }
  add(line, "; ");
  add(line, remedy);
}
