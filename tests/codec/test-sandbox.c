/* What a process inside the sandbox can and cannot do; each attempt in a child of its own. */
#include "tess-codec-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { DONE, REFUSED, NO_SANDBOX = 77 };

static int
refused (long result)
{
  return result < 0 && errno == EPERM ? REFUSED : DONE;
}

static int
try_read (void)
{
  return refused (open ("/proc/self/status", O_RDONLY));
}

static int
try_create (void)
{
  return refused (open ("tess-sandbox-made-this", O_WRONLY | O_CREAT, 0600));
}

static int
try_unlink (void)
{
  return refused (unlink ("/nonexistent/file"));
}

static int
try_socket (void)
{
  return refused (socket (AF_INET, SOCK_STREAM, 0));
}

static int
try_fork (void)
{
  return refused (syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int
try_exec (void)
{
  char *argv[] = {(char *)"true", NULL};

  return refused (execv ("/bin/true", argv));
}

static int
try_raise_limit (void)
{
  const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

  return refused (setrlimit (RLIMIT_AS, &limit));
}

static int
try_signal (void)
{
  return refused (kill (getppid (), 0));
}

static int
try_open_to_write (void)
{
  return refused (open ("/dev/null", O_WRONLY));
}

static int
try_rename (void)
{
  return refused (rename ("/nonexistent/a", "/nonexistent/b"));
}

static int
try_mkdir (void)
{
  return refused (mkdir ("tess-sandbox-made-this", 0700));
}

static int
try_truncate (void)
{
  return refused (truncate ("/nonexistent/file", 0));
}

static int
try_memory_file (void)
{
  return refused (memfd_create ("tess-sandbox", 0));
}

static int
try_datagram (void)
{
  return refused (socket (AF_INET6, SOCK_DGRAM, 0));
}

static int
try_local_socket (void)
{
  return refused (socket (AF_UNIX, SOCK_STREAM, 0));
}

static int
try_pair (void)
{
  int pair[2];

  return refused (socketpair (AF_UNIX, SOCK_STREAM, 0, pair));
}

/* The socket it has is there already: it cannot be taken elsewhere. */
static int
try_connect (void)
{
  const struct sockaddr_in far = {.sin_family = AF_INET, .sin_port = 80, .sin_addr = {0x0100007f}};

  return refused (connect (3, (const struct sockaddr *)&far, sizeof far));
}

static int
try_other_limit (void)
{
  const struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};

  return refused (prlimit (0, RLIMIT_FSIZE, &limit, NULL));
}

static int
try_ring (void)
{
  char parameters[120] = {0};

  return refused (syscall (SYS_io_uring_setup, 1, parameters));
}

static int
try_trace (void)
{
  return refused (syscall (SYS_ptrace, 16, getppid (), NULL, NULL)); /* PTRACE_ATTACH */
}

static int
try_memory (void)
{
  void *p = mmap (NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  return p == MAP_FAILED ? REFUSED : DONE;
}

static int
in_sandbox (int (*attempt) (void))
{
  int status;
  pid_t pid = fork ();

  g_assert_cmpint (pid, >=, 0);
  if (pid == 0) {
    tess_codec_sandbox_limits (10);
    if (!tess_codec_sandbox_enter ())
      _exit (NO_SANDBOX);
    _exit (attempt ());
  }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  return WEXITSTATUS (status);
}

static void
test_attempts (void)
{
  static int (*const bad[]) (void) = {try_read,         try_create,      try_open_to_write, try_unlink, try_rename,
                                      try_mkdir,        try_truncate,    try_memory_file,   try_socket, try_datagram,
                                      try_local_socket, try_pair,        try_connect,       try_fork,   try_exec,
                                      try_raise_limit,  try_other_limit, try_ring,          try_trace,  try_signal};

  if (in_sandbox (try_memory) == NO_SANDBOX) {
    g_test_skip ("this kernel has no seccomp filters");
    return;
  }
  g_assert_cmpint (in_sandbox (try_memory), ==, DONE);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_cmpint (in_sandbox (bad[i]), ==, REFUSED);
}

/* The parent's limit on memory holds inside: more is not to be had, and the limit stays. */
static int
try_too_much (void)
{
  void *p = mmap (NULL, (gsize)1 << 30, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  try_raise_limit ();
  if (p == MAP_FAILED && errno == ENOMEM)
    p = mmap (NULL, (gsize)1 << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return p == MAP_FAILED ? REFUSED : DONE;
}

static int
try_with_limit (void)
{
  int status, wait_for[2], code;
  char byte = 0;
  pid_t pid;

  if (pipe (wait_for) != 0)
    return DONE;
  pid = fork ();
  if (pid == 0) {
    if (read (wait_for[0], &byte, 1) != 1) /* until the limit is set from outside, as for the helper */
      _exit (DONE);
    tess_codec_sandbox_limits (10);
    if (!tess_codec_sandbox_enter ())
      _exit (NO_SANDBOX);
    _exit (try_too_much ());
  }
  code = prlimit (pid, RLIMIT_AS, &(struct rlimit){512 << 20, 512 << 20}, NULL);
  if (write (wait_for[1], &byte, 1) != 1 || code != 0)
    return DONE;
  waitpid (pid, &status, 0);
  close (wait_for[0]);
  close (wait_for[1]);
  return WIFEXITED (status) ? WEXITSTATUS (status) : DONE;
}

static void
test_memory (void)
{
  int result = try_with_limit ();

  if (result == NO_SANDBOX)
    g_test_skip ("this kernel has no seccomp filters");
  else
    g_assert_cmpint (result, ==, REFUSED);
}

/* Without the filter, too: no file grows. */
static void
test_file_size (void)
{
  int status;
  pid_t pid;
  FILE *file = tmpfile ();

  g_assert_nonnull (file);
  pid = fork ();
  if (pid == 0) {
    signal (SIGXFSZ, SIG_IGN);
    tess_codec_sandbox_limits (10);
    _exit (write (fileno (file), "x", 1) < 0 && errno == EFBIG ? REFUSED : DONE);
  }
  waitpid (pid, &status, 0);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, REFUSED);
  fclose (file);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/sandbox/attempts", test_attempts);
  g_test_add_func ("/sandbox/memory", test_memory);
  g_test_add_func ("/sandbox/file-size", test_file_size);
  return g_test_run ();
}
