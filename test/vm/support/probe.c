/*
 * The next init of the tests' small roots: tells on ttyS1 what it was given as PID 1, before anything changes it, then
 * executes the shell script /sbin/init.script. Each part stands between "<<begin NAME>>" and "<<end NAME>>" lines.
 */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char text[1 << 20];
static size_t length;

static void add(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int written = vsnprintf(text + length, sizeof text - length, format, arguments);
  va_end(arguments);
  if (written > 0 && length + (size_t)written < sizeof text) length += (size_t)written;
}

/* Descriptors by number, since a directory stream of /proc/self/fd would be one of them. */
static void add_descriptors(void) {
  add("<<begin descriptors>>\n");
  for (int fd = 0; fd < 4096; fd++) {
    char link[64], target[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, target, sizeof target - 1);
    if (size < 0) continue;
    target[size] = 0;
    struct stat status;
    fstat(fd, &status);
    add("%d %s device=%lu inode=%lu flags=%o\n", fd, target, (unsigned long)status.st_dev, (unsigned long)status.st_ino,
        fcntl(fd, F_GETFL));
  }
  struct stat console;
  if (stat("/dev/console", &console) == 0)
    add("console device=%lu inode=%lu\n", (unsigned long)console.st_dev, (unsigned long)console.st_ino);
  add("<<end descriptors>>\n");
}

/* A file's content; zero bytes become line breaks. */
static void add_file(const char *name, const char *path) {
  add("<<begin %s>>\n", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0) {
    ssize_t size;
    while (length + 4096 < sizeof text && (size = read(fd, text + length, 4096)) > 0) {
      for (ssize_t at = 0; at < size; at++)
        if (text[length + (size_t)at] == 0) text[length + (size_t)at] = '\n';
      length += (size_t)size;
    }
    close(fd);
  } else add("absent\n");
  add("\n<<end %s>>\n", name);
}

static void add_directory(const char *name, const char *path) {
  add("<<begin %s>>\n", name);
  DIR *directory = opendir(path);
  struct dirent *entry;
  while (directory && (entry = readdir(directory)))
    if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) add("%s\n", entry->d_name);
  if (directory) closedir(directory);
  else add("absent\n");
  add("<<end %s>>\n", name);
}

int main(int count, char **arguments) {
  (void)count;
  add_descriptors();
  add_file("status", "/proc/self/status");
  add_file("limits", "/proc/self/limits");
  add_file("environment", "/proc/self/environ");
  add_file("arguments", "/proc/self/cmdline");
  add_file("mounts", "/proc/self/mountinfo");
  add_file("memory", "/proc/meminfo");
  add_file("panic", "/proc/sys/kernel/panic");
  add_file("boot", "/run/slipway/boot.json");
  add_directory("run", "/run/slipway");
  char place[PATH_MAX];
  add("<<begin directory>>\n%s\n<<end directory>>\n", getcwd(place, sizeof place) ? place : "none");
  /* The kernel lets go of what the former program was mapped from a moment after the exec. */
  for (int wait = 0; wait < 100 && access("/sys/block/loop0/loop/backing_file", F_OK) == 0; wait++) usleep(10000);
  add_file("loop", "/sys/block/loop0/loop/backing_file");
  add_file("memory later", "/proc/meminfo");
  int results = open("/dev/ttyS1", O_WRONLY | O_NOCTTY | O_CLOEXEC);
  for (size_t at = 0; results >= 0 && at < length;) {
    ssize_t size = write(results, text + at, length - at);
    if (size <= 0) break;
    at += (size_t)size;
  }
  if (results >= 0) close(results);
  execv("/sbin/init.script", arguments);
  return 1;
}
