/*
 * /usr/bin/slipway of a system image. The executable weighs more than 100 MB and hardly compresses in an image's filesystem, so
 * it lies in a squashfs beside this program, as it does in the initrd. This mounts that where it is not mounted yet, and executes
 * what is in it with the arguments and the environment it was given.
 *
 * The directory that holds the executable is named after it (RUNTIME, from the build): a /run that outlives its root, as at a
 * soft reboot, never serves another version. The mount stays to the end of a shutdown, and the loop device goes with it. No libc.
 */
#include <linux/errno.h>
#include <linux/loop.h>
#include <linux/mount.h>

#include "../preinit/lines.h"
#include "../preinit/system-calls.h"

ENTRY(launch)

#define PLACE "/run/slipway/runtime"
#define SLIPWAY PLACE "/" RUNTIME "/slipway"
#define IMAGE "/usr/lib/slipway/runtime.squashfs"
#define LOCK_EXCLUSIVE 2
#define FAILED 1
#define REFUSED 3
/* How often another device is asked for when somebody else took the one that was free. */
#define ATTEMPTS 16

static const char unpack[] = "unpack dist/rootfs.tar into the image again";

/* "slipway: cannot open FILE: error 13; REMEDY" on standard error. */
static void __attribute__((noreturn)) stop(int code, const char *what, const char *subject, long result, const char *remedy) {
  static struct line line;
  add(&line, "slipway: cannot ");
  add_failure(&line, what, subject, result, remedy);
  add(&line, "\n");
  CALL(__NR_write, 2, line.text, line.length, 0, 0);
  for (;;) CALL(__NR_exit_group, code, 0, 0, 0, 0);
}

/* What only root may do, and what a container's root may not do either. */
static void __attribute__((noreturn)) fail(const char *what, const char *subject, long result, const char *remedy) {
  if (result == -EACCES || result == -EPERM)
    stop(REFUSED, what, subject, result, "run it as root of the machine: once that is done, other users can run slipway as well");
  stop(FAILED, what, subject, result, remedy);
}

/* Of these permissions whatever the umask is. */
static void make_directory(const char *path, long mode) {
  long result = CALL(__NR_mkdirat, AT_CWD, path, mode, 0, 0);
  if (result == 0) CALL(__NR_fchmodat, AT_CWD, path, mode, 0, 0);
  else if (result != -EEXIST) fail("make ", path, result, "is a tmpfs mounted at /run?");
}

/* A block device of the image, for reading only. It is freed when the mount goes. Its name comes into `device`. */
static long attach(long image, struct line *device) {
  static struct loop_config config;
  long control = open_file("/dev/loop-control", O_RDWR);
  if (control < 0) fail("open ", "/dev/loop-control", control, "load the kernel's module loop");
  for (int attempt = 1;; attempt++) {
    long number = CALL(__NR_ioctl, control, LOOP_CTL_GET_FREE, 0, 0, 0);
    if (number < 0) fail("find a free device at ", "/dev/loop-control", number, "are all loop devices taken?");
    device->length = 0;
    add(device, "/dev/loop");
    add_number(device, (unsigned long)number);
    long loop = open_file(device->text, O_RDONLY);
    if (loop < 0) fail("open ", device->text, loop, "is a devtmpfs mounted at /dev?");
    config.fd = (unsigned)image;
    config.info.lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR;
    for (int at = 0; IMAGE[at] != 0; at++) config.info.lo_file_name[at] = (unsigned char)IMAGE[at];
    long result = CALL(__NR_ioctl, loop, LOOP_CONFIGURE, &config, 0, 0);
    if (result == 0) {
      close_file(control);
      return loop;
    }
    close_file(loop);
    if (result != -EBUSY || attempt == ATTEMPTS)
      fail("attach " IMAGE " to ", device->text, result, "LOOP_CONFIGURE needs Linux 5.8");
  }
}

static void mount_image(void) {
  static struct line device;
  long image = open_file(IMAGE, O_RDONLY);
  if (image < 0) fail("open ", IMAGE, image, unpack);
  long loop = attach(image, &device);
  long result = CALL(__NR_mount, device.text, PLACE, "squashfs", MS_RDONLY | MS_NODEV | MS_NOSUID, "");
  if (result == -ENODEV) fail("mount ", IMAGE, result, "load the kernel's module squashfs");
  if (result < 0) fail("mount ", IMAGE, result, "is it damaged? slipway repair of this slot from elsewhere mends it");
  close_file(loop);
  close_file(image);
}

__attribute__((noreturn, used)) static void launch(long *start) {
  char **arguments = (char **)(start + 1), **environment = arguments + *start + 1;
  long result = CALL(__NR_execve, SLIPWAY, arguments, environment, 0, 0);
  if (result == -ENOENT) {
    make_directory("/run/slipway", 0755);
    /* Until the mount lies on it for root only: who can open it can hold its lock for ever. */
    make_directory(PLACE, 0700);
    long place = open_file(PLACE, O_RDONLY | O_DIRECTORY);
    if (place < 0) fail("open ", PLACE, place, "remove what is there");
    /* Whoever comes meanwhile waits here, and finds it mounted. */
    CALL(__NR_flock, place, LOCK_EXCLUSIVE, 0, 0, 0);
    if (CALL(__NR_faccessat, AT_CWD, SLIPWAY, 0, 0, 0) < 0) mount_image();
    close_file(place);
    result = CALL(__NR_execve, SLIPWAY, arguments, environment, 0, 0);
  }
  fail("execute ", SLIPWAY, result, "is its dynamic linker in the image, and are " IMAGE " and /usr/bin/slipway of one build?");
}
