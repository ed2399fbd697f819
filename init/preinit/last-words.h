/* How a program ends that a boot cannot do without. */
#pragma once

#include "lines.h"
#include "system-calls.h"

/*
 * Says a line that begins with "<2>" (a critical one, syslog(2)) on the kernel's log and without that on the console, and ends:
 * where this is PID 1 the kernel panics, and restarts after its panic timeout.
 */
static void __attribute__((noreturn)) end_with(struct line *line, int code) {
  long log = open_file("/dev/kmsg", O_WRONLY);
  if (log >= 0) CALL(__NR_write, log, line->text, line->length, 0, 0);
  add(line, "\n");
  CALL(__NR_write, 2, line->text + 3, line->length - 3, 0, 0);
  for (;;) CALL(__NR_exit_group, code, 0, 0, 0, 0);
}
