/*
 * The floor of the bench: what an initrd costs that only does the mounts. It is the kernel's /init: it loads the modules,
 * waits for the partitions, mounts, moves its root away and executes the next init. It chooses, proves, records and frees
 * nothing, and knows everything from plan.h, which the bench writes from the control file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct mount_call {
  const char *source, *target, *type;
  unsigned long flags;
  const char *data;
};

/* ROOT_LABEL, ROOT_TYPE, DATA_LABEL, DATA_TYPE; modules[], directories[] and calls[], each ended by a null pointer. */
#include "plan.h"

static void fail(const char *what) {
  perror(what); /* the kernel panics when its init ends, which is what the bench waits for */
  exit(1);
}

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  if (mount(source, target, type, flags, data) != 0) fail(target);
}

static void load(const char *path) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0 || syscall(SYS_finit_module, file, "", 0) != 0) fail(path);
  close(file);
}

/* Reads a small file whole; its text is empty where it cannot be read. */
static void read_text(const char *path, char *text, size_t size) {
  int file = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t length = file < 0 ? -1 : read(file, text, size - 1);
  text[length < 0 ? 0 : length] = 0;
  if (file >= 0) close(file);
}

/* Whether the partition with this label is there; its node goes into `device`. */
static int find_partition(const char *label, char *device, size_t size) {
  char wanted[128], path[512], text[4096];
  int found = 0;
  struct dirent *entry;
  DIR *directory = opendir("/sys/class/block");
  if (!directory) fail("/sys/class/block");
  snprintf(wanted, sizeof wanted, "\nPARTNAME=%s\n", label);
  while (!found && (entry = readdir(directory))) {
    snprintf(path, sizeof path, "/sys/class/block/%s/uevent", entry->d_name);
    read_text(path, text, sizeof text);
    if (!strstr(text, wanted)) continue;
    snprintf(device, size, "/dev/%s", entry->d_name);
    found = 1;
  }
  closedir(directory);
  return found;
}

static void wait_for_partition(const char *label, char *device, size_t size) {
  struct timespec millisecond = {0, 1000000};
  for (int tries = 0; !find_partition(label, device, size); tries++) {
    if (tries == 30000) fail(label);
    nanosleep(&millisecond, 0);
  }
}

/* The kernel's init= or /sbin/init; `line` is changed. */
static char *next_init(char *line) {
  for (char *word = strtok(line, " \n"); word; word = strtok(0, " \n"))
    if (strncmp(word, "init=", 5) == 0) return word + 5;
  return "/sbin/init";
}

int main(void) {
  static const char *const moved[] = {"/dev", "/proc", "/sys", "/run", 0};
  char root[300], data[300], line[4096], target[300];
  must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  must_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, 0);
  must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
  must_mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
  for (const char *const *module = modules; *module; module++) load(*module);
  wait_for_partition(ROOT_LABEL, root, sizeof root);
  wait_for_partition(DATA_LABEL, data, sizeof data);
  must_mount(root, "/root", ROOT_TYPE, MS_RDONLY, 0);
  must_mount(data, "/data", DATA_TYPE, MS_NOSUID | MS_NODEV | MS_NOATIME, 0);
  for (const char *const *directory = directories; *directory; directory++) mkdir(*directory, 0755);
  for (const struct mount_call *call = calls; call->target; call++)
    must_mount(call->source, call->target, call->type, call->flags, call->data);
  if (umount2("/data", MNT_DETACH) != 0) fail("/data");
  read_text("/proc/cmdline", line, sizeof line);
  for (const char *const *name = moved; *name; name++) {
    snprintf(target, sizeof target, "/root%s", *name);
    must_mount(*name, target, 0, MS_MOVE, 0);
  }
  if (chdir("/root") != 0) fail("/root");
  must_mount(".", "/", 0, MS_MOVE, 0);
  if (chroot(".") != 0 || chdir("/") != 0) fail("chroot");
  int console = open("/dev/console", O_RDWR);
  for (int fd = 0; fd < 3; fd++) dup2(console, fd);
  if (console > 2) close(console);
  char *words[] = {next_init(line), 0};
  char *environment[] = {"HOME=/", "TERM=linux", 0};
  execve(words[0], words, environment);
  fail(words[0]);
}
