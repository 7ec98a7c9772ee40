#include "tess-codec-sandbox.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <unistd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define THIS_ARCH AUDIT_ARCH_RISCV64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define THIS_ARCH AUDIT_ARCH_PPC64LE
#endif

void
tess_codec_sandbox_limits (unsigned cpu_seconds)
{
  const struct rlimit none = {0, 0};
  const struct rlimit cpu = {cpu_seconds, cpu_seconds + 5};

  setrlimit (RLIMIT_FSIZE, &none);
  setrlimit (RLIMIT_CORE, &none);
  setrlimit (RLIMIT_CPU, &cpu);
}

#ifdef THIS_ARCH

#define ALLOW(name)                                                                                                    \
  BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE(code) BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (code))

/* A list of what is allowed: memory, time, the socket to the parent, and reading what it hands over. Everything else is
 * answered "not permitted", so that a library that tries something harmless (a locale file) goes on without it. Another
 * way of calling the kernel (32-bit numbers) kills. */
static struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, arch)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, THIS_ARCH, 1, 0),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
#ifdef __x86_64__
    BPF_JUMP (BPF_JMP | BPF_JGE | BPF_K, 0x40000000u, 0, 1), /* the x32 numbers */
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
#endif
    ALLOW (read),
    ALLOW (pread64),
    ALLOW (readv),
    ALLOW (write),
    ALLOW (writev),
    ALLOW (recvmsg),
    ALLOW (sendmsg),
    ALLOW (sendto), /* libc's send(); the socket is connected for ever, and no other can be made */
    ALLOW (recvfrom),
    ALLOW (close),
    ALLOW (lseek),
    ALLOW (fstat),
#ifdef __NR_newfstatat
    ALLOW (newfstatat), /* libc's fstat(); by name it tells that something is there, no more */
#endif
    ALLOW (mmap),
    ALLOW (munmap),
    ALLOW (mremap),
    ALLOW (mprotect),
    ALLOW (madvise),
    ALLOW (brk),
    ALLOW (futex),
    ALLOW (getpid),
    ALLOW (gettid),
    ALLOW (tgkill), /* abort() */
    ALLOW (rt_sigprocmask),
    ALLOW (rt_sigaction),
    ALLOW (rt_sigreturn),
    ALLOW (sigaltstack),
    ALLOW (clock_gettime),
    ALLOW (gettimeofday),
    ALLOW (getrandom),
    ALLOW (sched_yield),
    ALLOW (exit),
    ALLOW (exit_group),
    REFUSE (EPERM),
};

bool
tess_codec_sandbox_enter (void)
{
  const struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};

  return prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl (PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 &&
         syscall (__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) == 0;
}

#else

bool
tess_codec_sandbox_enter (void)
{
  return false;
}

#endif
