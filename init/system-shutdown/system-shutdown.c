/*
 * /usr/lib/systemd/system-shutdown/slipway: the last step of a shutdown that is to end in a kernel which was loaded ("slipway install
 * --kexec", "systemctl kexec"). systemd up to version 255 has /sbin/kexec do that, of a package that most systems have not, and
 * restarts the machine by its firmware without it. systemd runs this when everything is stopped and unmounted, with the kind of the
 * shutdown as its argument: systemd-shutdown(8). Where the kernel refuses, systemd goes on and restarts. No libc.
 */
#include <linux/reboot.h>

#include "../preinit/system-calls.h"

ENTRY(last_step)

#define EXECUTABLE 1

static int equal(const char *left, const char *right) {
  while (*left != 0 && *left == *right) left++, right++;
  return *left == *right;
}

void __attribute__((noreturn, used)) last_step(long *start) {
  const char **arguments = (const char **)(start + 1);
  /* What is installed for it knows more ways to load a kernel, and no other program of this directory is cut short by systemd's own step. */
  int has_kexec = CALL(__NR_faccessat, AT_CWD, "/sbin/kexec", EXECUTABLE, 0, 0) == 0;
  if (*start == 2 && equal(arguments[1], "kexec") && !has_kexec) {
    CALL(__NR_sync, 0, 0, 0, 0, 0);
    CALL(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC, 0, 0);
  }
  for (;;) CALL(__NR_exit_group, 0, 0, 0, 0, 0);
}
