/*
 * The initrd's /init. Bun cannot start without /proc, and would obey words of the kernel's command line that arrive in
 * its environment and arguments; so this mounts what is needed, attaches the runtime image and executes slipway with an
 * environment and arguments of its own. Everything that can be done later is done later.
 *
 * Reads /etc/slipway/preinit.conf, which the initrd's builder writes ("runtime BYTES", "hot BYTES" where pages of the
 * executable lie in a file of their own, "module FILE" lines in load order, and "ahead FILE" lines likewise). No libc; the
 * file /etc/slipway/end is the archive's last, so that it is there only if all was unpacked.
 */
#include <asm/signal.h>
#include <asm/stat.h>
#include <linux/errno.h>
#include <linux/loop.h>
#include <linux/mount.h>

#include "last-words.h"
#include "lines.h"
#include "system-calls.h"

ENTRY(preinit)

#define BOOTTIME 7
#define RUNTIME_IMAGE "/runtime.squashfs"
#define HOT_FILE "/runtime.hot"
#define SLIPWAY "/runtime/usr/bin/slipway"

static void __attribute__((noreturn)) fail(const char *what, const char *subject, long result, const char *remedy) {
  static struct line line;
  add(&line, "<2>slipway: preinit: ");
  add_failure(&line, what, subject, result, remedy);
  end_with(&line, 1);
}

static void __attribute__((noreturn)) fail_truncated(const char *what, unsigned long have, unsigned long want) {
  static struct line line;
  add(&line, "<2>slipway: preinit: ");
  add(&line, what);
  add(&line, " is truncated: ");
  add_number(&line, have);
  add(&line, " of ");
  add_number(&line, want);
  add(&line, " bytes; the machine has too little memory for this initrd, or its file was not loaded as a whole");
  end_with(&line, 1);
}

static void mount_or_fail(const char *source, const char *target, const char *type, unsigned long flags, const char *data) {
  long result = CALL(__NR_mount, source, target, type, flags, data);
  if (result < 0) fail("cannot mount ", target, result, "the kernel lacks this filesystem, or the initrd its directory");
}

static char text[16384];

/* Reads a small file into `text`. Returns its length, or a negative errno. */
static long read_text(const char *path) {
  long fd = open_file(path, O_RDONLY), length = 0, result;
  if (fd < 0) return fd;
  while ((result = CALL(__NR_read, fd, text + length, sizeof text - 1 - length, 0, 0)) > 0) length += result;
  close_file(fd);
  text[length] = 0;
  return result < 0 ? result : length;
}

/* Where `line` goes on behind `word`; null if it does not begin so. */
static char *after(char *line, const char *word) {
  while (*word != 0)
    if (*line++ != *word++) return 0;
  return line;
}

static unsigned long now(void) {
  long time[2] = {0, 0};
  CALL(__NR_clock_gettime, BOOTTIME, time, 0, 0, 0);
  return (unsigned long)time[0] * 1000000000ul + (unsigned long)time[1];
}

/* Whether a word of the kernel's command line begins so. */
static int command_line_has(const char *begin) {
  int word_starts = 1;
  if (read_text("/proc/cmdline") < 0) return 0;
  for (char *at = text; *at != 0; at++) {
    if (word_starts && after(at, "-- ")) break;
    if (word_starts && after(at, begin)) return 1;
    word_starts = *at == ' ' || *at == '\t';
  }
  return 0;
}

/* A panic restarts the machine after 10 s, unless its command line or kernel says otherwise. */
static void set_panic_timeout(void) {
  if (read_text("/proc/sys/kernel/panic") < 1 || text[0] != '0' || command_line_has("panic=")) return;
  long fd = open_file("/proc/sys/kernel/panic", O_WRONLY);
  CALL(__NR_write, fd, "10", 2, 0, 0);
  close_file(fd);
}

/* Descriptors 0 to 2 on the console; on /dev/null where there is none, for Bun dies without them. */
static void open_console(void) {
  long fd = open_file("/dev/console", O_RDWR | O_NOCTTY);
  if (fd < 0) fd = open_file("/dev/null", O_RDWR);
  for (int to = 0; to <= 2; to++)
    if (fd != to) CALL(__NR_dup3, fd, to, 0, 0, 0);
  if (fd <= 2) CALL(__NR_fcntl, fd, F_SETFD, 0, 0, 0);
  else close_file(fd);
}

static void load_module(const char *file) {
  long fd = open_file(file, O_RDONLY);
  if (fd < 0) fail("cannot open ", file, fd, "the initrd is incomplete; build it again");
  long result = CALL(__NR_finit_module, fd, "", 0, 0, 0);
  if (result < 0 && result != -EEXIST)
    fail("cannot load ", file, result, "is the initrd built with the modules of the kernel that runs?");
  close_file(fd);
}

static unsigned long read_number(const char *digits) {
  unsigned long number = 0;
  while (*digits >= '0' && *digits <= '9') number = number * 10 + (unsigned long)(*digits++ - '0');
  return number;
}

/* Modules in the runtime image that slipway is going to load, in load order; those that do not fit are its business alone. */
static const char *ahead[128];
static unsigned ahead_count;

/* Sizes that files have to have; 0 for one that is not there. */
struct sizes {
  unsigned long runtime, hot;
};

/* Carries out the configuration. */
static struct sizes configure(void) {
  struct sizes sizes = {0, 0};
  long result = read_text("/etc/slipway/preinit.conf");
  if (result < 0) fail("cannot read ", "/etc/slipway/preinit.conf", result, "build the initrd with slipway initrd build");
  for (char *line = text, *next; *line != 0; line = next) {
    char *value;
    for (next = line; *next != 0 && *next != '\n'; next++) continue;
    if (*next != 0) *next++ = 0;
    if ((value = after(line, "runtime ")) != 0) sizes.runtime = read_number(value);
    else if ((value = after(line, "hot ")) != 0) sizes.hot = read_number(value);
    else if ((value = after(line, "module ")) != 0) load_module(value);
    else if ((value = after(line, "ahead ")) != 0) {
      if (ahead_count < sizeof ahead / sizeof *ahead) ahead[ahead_count++] = value;
    }
    else fail("does not know this line of /etc/slipway/preinit.conf: ", line, 0, "build the initrd again");
  }
  return sizes;
}

/*
 * Opens a large file of the archive, all of which has to be there. The kernel gives a file its size before it writes the
 * content, and goes on after a failed write: so count the blocks.
 */
static long open_whole(const char *what, const char *path, unsigned long want) {
  static struct stat status;
  long fd = open_file(path, O_RDONLY);
  if (fd == -ENOENT) fail_truncated(what, 0, want);
  if (fd < 0) fail("cannot open ", path, fd, "build the initrd again");
  long result = CALL(__NR_fstat, fd, &status, 0, 0, 0);
  if (result < 0) fail("cannot stat ", path, result, "build the initrd again");
  unsigned long size = (unsigned long)status.st_size, blocks = (unsigned long)status.st_blocks * 512;
  if (size != want || blocks < want) fail_truncated(what, blocks < size ? blocks : size, want);
  return fd;
}

/* Returns a descriptor of the runtime image. */
static long check_archive(struct sizes want) {
  if (want.hot != 0) close_file(open_whole("the file of hot pages", HOT_FILE, want.hot));
  long image = open_whole("the runtime image", RUNTIME_IMAGE, want.runtime);
  long end = open_file("/etc/slipway/end", O_RDONLY);
  if (end < 0) fail("the initrd was cut short, no ", "/etc/slipway/end", end, "is there too little memory for it?");
  close_file(end);
  return image;
}

/*
 * A page fault reads ahead of itself and behind, and so has a second compressed block unpacked that nobody asked for.
 * Without this line a start is slower, and nothing else.
 */
static void read_nothing_ahead(unsigned long loop) {
  static struct line path;
  add(&path, "/sys/block/loop");
  add_number(&path, loop);
  add(&path, "/queue/read_ahead_kb");
  long fd = open_file(path.text, O_WRONLY);
  if (fd < 0) return;
  CALL(__NR_write, fd, "0", 1, 0, 0);
  close_file(fd);
}

static void mount_runtime(struct sizes want) {
  static struct loop_config config;
  static struct line device;
  long image = check_archive(want);
  long control = open_file("/dev/loop-control", O_RDWR);
  if (control < 0) fail("cannot open ", "/dev/loop-control", control, "does the kernel have the loop driver?");
  long number = CALL(__NR_ioctl, control, LOOP_CTL_GET_FREE, 0, 0, 0);
  if (number < 0) fail("finds no free device at ", "/dev/loop-control", number, "are all loop devices taken?");
  add(&device, "/dev/loop");
  add_number(&device, (unsigned long)number);
  long loop = open_file(device.text, O_RDONLY);
  if (loop < 0) fail("cannot open ", device.text, loop, "is CONFIG_DEVTMPFS in the kernel?");
  config.fd = (unsigned)image;
  config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
  long result = CALL(__NR_ioctl, loop, LOOP_CONFIGURE, &config, 0, 0);
  if (result < 0) fail("cannot attach the runtime image to ", device.text, result, "LOOP_CONFIGURE needs Linux 5.8");
  read_nothing_ahead((unsigned long)number);
  mount_or_fail(device.text, "/runtime", "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, "");
  close_file(loop);
  close_file(control);
  close_file(image); /* while one is open, the memory of the image is never freed */
}

static int processors(void) {
  unsigned long mask[128];
  long bytes = CALL(__NR_sched_getaffinity, 0, sizeof mask, mask, 0, 0);
  int count = 0;
  for (long at = 0; at < bytes / (long)sizeof *mask; at++)
    for (unsigned long bits = mask[at]; bits != 0; bits &= bits - 1) count++;
  return count;
}

/*
 * Where another processor is free, a child loads modules while the runtime starts. Slipway asks for each of them again: the
 * kernel has it wait for what is being loaded and then answers EEXIST, and what failed here fails there and is told.
 */
static void load_ahead(void) {
  if (ahead_count == 0 || processors() < 2 || CALL(__NR_clone, SIGCHLD, 0, 0, 0, 0) != 0) return;
  for (unsigned at = 0; at < ahead_count; at++) {
    long fd = open_file(ahead[at], O_RDONLY);
    if (fd < 0) continue;
    CALL(__NR_finit_module, fd, "", 0, 0, 0);
    close_file(fd);
  }
  for (;;) CALL(__NR_exit_group, 0, 0, 0, 0, 0);
}

__attribute__((noreturn, used)) void preinit(void) {
  unsigned long started = now();
  static struct line times;
  if (CALL(__NR_getpid, 0, 0, 0, 0, 0) != 1 || CALL(__NR_faccessat, AT_CWD, "/etc/initrd-release", 0, 0, 0) < 0) {
    static const char only[] = "preinit runs only as PID 1 of an initrd\n";
    CALL(__NR_write, 2, only, sizeof only - 1, 0, 0);
    for (;;) CALL(__NR_exit_group, 2, 0, 0, 0, 0);
  }
  mount_or_fail("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  set_panic_timeout();
  mount_or_fail("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
  open_console();
  mount_or_fail("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "");
  mount_or_fail("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755");
  int stops_on_its_way = command_line_has("rd.break"); /* before a driver, so that one that panics can be looked at */
  mount_runtime(configure());
  if (!stops_on_its_way) load_ahead();
  add(&times, "SLIPWAY_PREINIT=");
  add_number(&times, started);
  add(&times, " ");
  add_number(&times, now());
  const char *arguments[] = {"slipway", 0};
  /* The last one: by another link the same name may have another address, which the runtime would remember for 30 s. */
  const char *environment[] = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TERM=linux", times.text,
                               "BUN_CONFIG_DNS_TIME_TO_LIVE_SECONDS=0",
                               /* A boot runs nothing often enough for a compiler of machine code to pay; a recovery's loops do. */
                               "BUN_JSC_thresholdForJITAfterWarmUp=20000", 0};
  long result = CALL(__NR_execve, SLIPWAY, arguments, environment, 0, 0);
  fail("cannot execute ", SLIPWAY, result, "are it and its dynamic linker in the runtime image?");
}
