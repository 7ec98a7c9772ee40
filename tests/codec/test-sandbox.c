/* What a process inside the sandbox can and cannot do; each attempt in a child of its own. */
#include "tess-codec-sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
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
  static int (*const bad[]) (void) = {try_read, try_create, try_unlink,      try_socket,
                                      try_fork, try_exec,   try_raise_limit, try_signal};

  if (in_sandbox (try_memory) == NO_SANDBOX) {
    g_test_skip ("this kernel has no seccomp filters");
    return;
  }
  g_assert_cmpint (in_sandbox (try_memory), ==, DONE);
  for (gsize i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_cmpint (in_sandbox (bad[i]), ==, REFUSED);
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
  g_test_add_func ("/sandbox/file-size", test_file_size);
  return g_test_run ();
}
