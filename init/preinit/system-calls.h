/* The kernel without libc: what depends on the architecture, the system call and how the first C function is entered. */
#pragma once

#include <asm/fcntl.h>
#include <asm/unistd.h>

/*
 * ENTRY(FUNCTION): the program begins with `void FUNCTION(long *start)`, which may not return. At `start` are the number
 * of arguments, the arguments, a null, the environment and a null, as the kernel put them.
 */
#if defined(__x86_64__)
static long call6(long number, long a, long b, long c, long d, long e, long f) {
  long result;
  register long r10 __asm__("r10") = d;
  register long r8 __asm__("r8") = e;
  register long r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory");
  return result;
}
#define ENTRY(function) \
  __asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call " #function "\n");
#elif defined(__aarch64__)
static long call6(long number, long a, long b, long c, long d, long e, long f) {
  register long x8 __asm__("x8") = number;
  register long x0 __asm__("x0") = a;
  register long x1 __asm__("x1") = b;
  register long x2 __asm__("x2") = c;
  register long x3 __asm__("x3") = d;
  register long x4 __asm__("x4") = e;
  register long x5 __asm__("x5") = f;
  __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory", "cc");
  return x0;
}
#define ENTRY(function) \
  __asm__(".globl _start\n_start: mov x29, xzr\n mov x30, xzr\n mov x0, sp\n and sp, x0, #-16\n bl " #function "\n");
#else
#error "there is no system call for this architecture yet: add call6 and ENTRY here"
#endif

#define CALL(number, a, b, c, d, e) call6(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)
#define AT_CWD (-100)

static inline long open_file(const char *path, int flags) { return CALL(__NR_openat, AT_CWD, path, flags | O_CLOEXEC, 0, 0); }

static inline void close_file(long fd) { CALL(__NR_close, fd, 0, 0, 0, 0); }
