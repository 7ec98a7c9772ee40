#include "tess-codec-process.h"
#include "tess-codec-wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define POLL_MS 20 /* how soon a cancel is noticed */

/* $TESSERA_CODEC where it runs uninstalled, else the installed program; NULL when there is none. */
static char *
find_helper (void)
{
  const char *named = g_getenv ("TESSERA_CODEC");
  g_autofree char *path = g_strdup (named && *named ? named : TESS_CODEC_PROGRAM);

  return g_file_test (path, G_FILE_TEST_IS_EXECUTABLE) ? g_steal_pointer (&path) : NULL;
}

/* Away from 0, 1 and 2, which the child has for /dev/null, and from TESS_CODEC_SOCKET. */
static gboolean
make_sockets (int ends[2])
{
  int pair[2];

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
    return FALSE;
  for (int i = 0; i < 2; i++) {
    ends[i] = fcntl (pair[i], F_DUPFD_CLOEXEC, TESS_CODEC_SOCKET + 1);
    close (pair[i]);
  }
  if (ends[0] >= 0 && ends[1] >= 0)
    return TRUE;
  for (int i = 0; i < 2; i++)
    if (ends[i] >= 0)
      close (ends[i]);
  return FALSE;
}

/* Nothing of the program's environment but where libraries are; no descriptor but its socket. */
static int
spawn (pid_t *pid, const char *helper, int end, guint cpu_seconds)
{
  g_autofree char *seconds = g_strdup_printf ("%u", cpu_seconds), *libraries = NULL;
  char *argv[] = {(char *)"tessera-codec", seconds, NULL}, *envp[] = {(char *)"LC_ALL=C", NULL, NULL};
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  sigset_t none, all;
  int result;

  if (g_getenv ("LD_LIBRARY_PATH"))
    envp[1] = libraries = g_strconcat ("LD_LIBRARY_PATH=", g_getenv ("LD_LIBRARY_PATH"), NULL);
  sigemptyset (&none);
  sigfillset (&all);
  posix_spawn_file_actions_init (&actions);
  posix_spawnattr_init (&attributes);
  for (int fd = 0; fd < 3; fd++)
    posix_spawn_file_actions_addopen (&actions, fd, "/dev/null", O_RDWR, 0);
  posix_spawn_file_actions_adddup2 (&actions, end, TESS_CODEC_SOCKET);
  posix_spawn_file_actions_addclosefrom_np (&actions, TESS_CODEC_SOCKET + 1);
  posix_spawnattr_setsigmask (&attributes, &none);
  posix_spawnattr_setsigdefault (&attributes, &all);
  posix_spawnattr_setflags (&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  result = posix_spawn (pid, helper, &actions, &attributes, argv, envp);
  posix_spawnattr_destroy (&attributes);
  posix_spawn_file_actions_destroy (&actions);
  return result;
}

/**
 * tess_codec_process_start:
 * @memory: bytes it may map; it cannot raise this itself
 * @cpu_seconds: after which the kernel ends it, should nobody else
 *
 * Errors: UNSUPPORTED (there is no helper), IO (it cannot be started).
 */
gboolean
tess_codec_process_start (TessCodecProcess *process, guint64 memory, guint cpu_seconds, GError **error)
{
  g_autofree char *helper = find_helper ();
  const struct rlimit limit = {memory, memory};
  int ends[2], result;
  pid_t pid;

  if (!helper) {
    g_set_error_literal (
        error, TESS_ERROR, TESS_ERROR_UNSUPPORTED,
        TESS_HAVE_GDCM || TESS_HAVE_HDF5
            ? _ ("the program tessera-codec, which reads DICOM and HDF5, is missing; install Tessera "
                 "again")
            : _ ("this Tessera was built without GDCM and HDF5 and reads neither DICOM nor HDF5; "
                 "install these libraries and build it again, or convert the scan to NIfTI elsewhere"));
    return FALSE;
  }
  if (!make_sockets (ends)) {
    tess_error_set_errno (error, helper, errno, _ ("start"));
    return FALSE;
  }
  result = spawn (&pid, helper, ends[1], cpu_seconds);
  close (ends[1]);
  if (result != 0) {
    close (ends[0]);
    tess_error_set_errno (error, helper, result, _ ("start"));
    return FALSE;
  }
  prlimit (pid, RLIMIT_AS, &limit, NULL); /* before it has been asked anything */
  process->pid = pid;
  process->socket = ends[0];
  return TRUE;
}

int
tess_codec_process_stop (TessCodecProcess *process)
{
  int status = 0;

  if (process->pid <= 0)
    return 0;
  close (process->socket);
  kill (process->pid, SIGKILL);
  while (waitpid (process->pid, &status, 0) < 0 && errno == EINTR)
    ;
  process->pid = 0;
  return status;
}

/* FALSE: it does not listen any more. */
gboolean
tess_codec_process_send (TessCodecProcess *process, const char *request, int fd)
{
  guint32 n = (guint32)strlen (request);
  struct iovec parts[2] = {{&n, sizeof n}, {(void *)(guintptr)request, n}};
  union {
    char bytes[CMSG_SPACE (sizeof (int))];
    struct cmsghdr align;
  } control = {0};
  struct msghdr message = {
      .msg_iov = parts, .msg_iovlen = 2, .msg_control = control.bytes, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);
  gssize sent;

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (sizeof (int));
  memcpy (CMSG_DATA (header), &fd, sizeof fd);
  do
    sent = sendmsg (process->socket, &message, MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  return sent == (gssize)(sizeof n + n); /* requests are far smaller than the socket's buffer */
}

/* What killed it is asked before it is killed again. */
static TessCodecOutcome
died (TessCodecProcess *process, int *status)
{
  for (int i = 0; i < 500; i++) { /* the socket closes a moment before the process can be waited for */
    pid_t pid = waitpid (process->pid, status, WNOHANG);

    if (pid == process->pid || (pid < 0 && errno == ECHILD)) {
      close (process->socket);
      process->pid = 0;
      return TESS_CODEC_DIED;
    }
    g_usleep (2000);
  }
  tess_codec_process_stop (process);
  *status = 0; /* it had closed its socket by itself */
  return TESS_CODEC_DIED;
}

TessCodecOutcome
tess_codec_process_receive (TessCodecProcess *process, double seconds, TessProgress *progress, GByteArray *answer,
                            int *status)
{
  const gint64 end = g_get_monotonic_time () + (gint64)(seconds * 1e6);
  gsize want = sizeof (guint32);
  guint32 n = 0;

  g_byte_array_set_size (answer, 0);
  for (;;) {
    struct pollfd ready = {.fd = process->socket, .events = POLLIN};
    guint8 piece[65536];
    gssize got;

    if (tess_progress_is_cancelled (progress) || g_get_monotonic_time () > end) {
      gboolean cancelled = tess_progress_is_cancelled (progress);

      *status = tess_codec_process_stop (process);
      return cancelled ? TESS_CODEC_CANCELLED : TESS_CODEC_TOO_LONG;
    }
    if (poll (&ready, 1, POLL_MS) <= 0)
      continue;
    got = recv (process->socket, piece, MIN (sizeof piece, want - answer->len), 0);
    if (got < 0 && errno == EINTR)
      continue;
    if (got <= 0)
      return died (process, status);
    g_byte_array_append (answer, piece, (guint)got);
    if (answer->len < want)
      continue;
    if (want > sizeof n)
      break;
    memcpy (&n, answer->data, sizeof n);
    if (n == 0 || n > TESS_CODEC_MAX_ANSWER) {
      tess_codec_process_stop (process);
      *status = 0;
      return TESS_CODEC_DIED;
    }
    want += n;
  }
  g_byte_array_remove_range (answer, 0, sizeof n);
  return TESS_CODEC_ANSWERED;
}
