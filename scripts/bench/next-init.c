/*
 * The next init of the bench: its first act is a line in the kernel's log, so that "Run /init" and its own start are
 * read from one clock. Then it tells on ttyS1 what the bench wants to know, and powers the machine off.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/reboot.h>
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

int main(void) {
  struct timespec now;
  int kmsg = open("/dev/kmsg", O_RDWR | O_NONBLOCK);
  if (kmsg >= 0 && write(kmsg, RECORD, sizeof RECORD - 1) < 0) perror("/dev/kmsg");
  clock_gettime(CLOCK_BOOTTIME, &now);
  FILE *results = fopen("/dev/ttyS1", "w");
  if (results) {
    struct termios plain;
    int fd = fileno(results);
    if (tcgetattr(fd, &plain) == 0) {
      cfmakeraw(&plain);
      tcsetattr(fd, TCSANOW, &plain);
    }
    fprintf(results, "bench begins\nboottime %lld.%09ld\n", (long long)now.tv_sec, now.tv_nsec);
    if (kmsg >= 0) tell_log(kmsg, results);
    tell_file("mount", "/proc/mounts", results);
    tell_file("report", "/run/slipway/boot.json", results);
    fprintf(results, "bench ends\n");
    fflush(results);
    tcdrain(fd);
  }
  sync();
  reboot(RB_POWER_OFF);
  return 1;
}
