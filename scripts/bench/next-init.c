/*
 * The next init of the bench: its first act is a line in the kernel's log, so that "Run /init" and its own start are
 * read from one clock. Then it tells on ttyS1 what the bench wants to know, and powers the machine off.
 *
 * Memory held, "memory MemTotal 498532" and "memory MemFree 412312" in KiB: read after sync, dropped caches and a compaction
 * (which brings home the free pages that each processor keeps), again every 100 ms until no more is coming back, 3 s at
 * the most: what an initrd left is freed by lazy unmounts and RCU a moment later. What then is not free is the kernel's own,
 * this program's, and what the initrd left behind: files of an initramfs, of a tmpfs or of a mounted image, modules, and
 * what the mounts keep.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define STARTED "bench: next init started"
/* Without its line break the record stays open for more, and no reader sees it. */
#define RECORD "<7>" STARTED "\n"

/* Copies those records of the kernel's log that give the times: "6,512,1234567,-;Run /init as init process". */
static void tell_log(int kmsg, FILE *results) {
  char record[8192];
  for (;;) {
    ssize_t length = read(kmsg, record, sizeof record - 1);
    if (length < 0 && errno == EPIPE) continue; /* records were overwritten: go on with the oldest */
    if (length < 0) return;                     /* EAGAIN: that was all */
    record[length] = 0;
    record[strcspn(record, "\n")] = 0;
    if (strstr(record, ";Run ") || strstr(record, STARTED)) fprintf(results, "log %s\n", record);
  }
}

static void tell_file(const char *word, const char *path, FILE *results) {
  char line[65536];
  FILE *file = fopen(path, "r");
  if (!file) return;
  while (fgets(line, sizeof line, file)) {
    line[strcspn(line, "\n")] = 0;
    fprintf(results, "%s %s\n", word, line);
  }
  fclose(file);
}

static void put(const char *path, const char *text) {
  int file = open(path, O_WRONLY);
  if (file < 0) return;
  if (write(file, text, strlen(text)) < 0) perror(path);
  close(file);
}

/* KiB from /proc/meminfo, -1 where it has no such line. */
static long meminfo(const char *name) {
  char line[256];
  long value = -1;
  FILE *file = fopen("/proc/meminfo", "r");
  if (!file) return -1;
  while (value < 0 && fgets(line, sizeof line, file))
    if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), ": %ld kB", &value);
  fclose(file);
  return value;
}

static void tell_memory(FILE *results) {
  struct timespec pause = {0, 100000000};
  long best = -1;
  sync();
  for (int reading = 0, idle = 0; reading < 30 && idle < 3; reading++) {
    put("/proc/sys/vm/drop_caches", "3");
    put("/proc/sys/vm/compact_memory", "1");
    nanosleep(&pause, 0);
    long now = meminfo("MemFree");
    idle = now > best + 16 ? 0 : idle + 1;
    if (now > best) best = now;
  }
  fprintf(results, "memory MemTotal %ld\nmemory MemFree %ld\n", meminfo("MemTotal"), best);
}

/*
 * "idle 123456": nanoseconds since the kernel's start in which the processors had nothing to do, of all of them together.
 * Where a clock counts instructions, these are none.
 */
static void tell_idle(FILE *results) {
  char line[256];
  long long idle = 0, value;
  FILE *file = fopen("/proc/timer_list", "r");
  if (!file) return;
  while (fgets(line, sizeof line, file))
    if ((strstr(line, ".idle_sleeptime") || strstr(line, ".iowait_sleeptime")) && sscanf(strchr(line, ':'), ": %lld", &value) == 1)
      idle += value;
  fclose(file);
  fprintf(results, "idle %lld\n", idle);
}

/* Some initrds leave a root and nothing else, and so does the kernel where this is the initrd's init. */
static int open_log(void) {
  int kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK);
  if (kmsg >= 0) return kmsg;
  mkdir("/dev", 0755);
  mkdir("/proc", 0755);
  if (mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755") != 0) perror("/dev");
  return open("/dev/kmsg", O_RDWR | O_NONBLOCK);
}

int main(void) {
  struct timespec now;
  int kmsg = open_log();
  if (kmsg >= 0 && write(kmsg, RECORD, sizeof RECORD - 1) < 0) perror("/dev/kmsg");
  clock_gettime(CLOCK_BOOTTIME, &now);
  if (access("/proc/mounts", R_OK) != 0 && mount("proc", "/proc", "proc", 0, 0) != 0) perror("/proc");
  FILE *results = fopen("/dev/ttyS1", "w");
  if (results) {
    struct termios plain;
    int fd = fileno(results);
    if (tcgetattr(fd, &plain) == 0) {
      cfmakeraw(&plain);
      tcsetattr(fd, TCSANOW, &plain);
    }
    fprintf(results, "bench begins\nboottime %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    tell_idle(results);
    if (kmsg >= 0) tell_log(kmsg, results);
    tell_file("mount", "/proc/mounts", results);
    tell_file("report", "/run/slipway/boot.json", results);
    tell_memory(results);
    fprintf(results, "bench ends\n");
    fflush(results);
    tcdrain(fd);
  }
  sync();
  reboot(RB_POWER_OFF);
  return 1;
}
