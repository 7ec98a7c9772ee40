// tessera-codec: reads files that nobody has vouched for, in a process of its own that may do nothing else. It is
// started by the program, which hands it files that are open already; tess-codec-wire.h has the words they exchange.

#include "tess-codec-dicom.h"
#include "tess-codec-hdf5.h"
#include "tess-codec-json.h"
#include "tess-codec-sandbox.h"
#include "tess-codec-wire.h"

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace
{

// A descriptor that came with a message, as memory.
class Mapping
{
public:
  Mapping () = default;
  Mapping (const Mapping &) = delete;
  Mapping &operator= (const Mapping &) = delete;
  ~Mapping ()
  {
    clear ();
  }

  bool map (int fd, bool writable)
  {
    struct stat st;

    clear ();
    if (fstat (fd, &st) != 0 || st.st_size < 0)
      return false;
    n = (size_t)st.st_size;
    if (n > 0) {
      bytes = (unsigned char *)mmap (nullptr, n, writable ? PROT_READ | PROT_WRITE : PROT_READ,
                                     writable ? MAP_SHARED : MAP_PRIVATE, fd, 0);
      if (bytes == MAP_FAILED) {
        bytes = nullptr;
        n = 0;
        return false;
      }
    }
    return true;
  }

  void clear ()
  {
    if (bytes)
      munmap (bytes, n);
    bytes = nullptr;
    n = 0;
  }

  unsigned char *bytes = nullptr;
  size_t n = 0;
};

// Exactly n bytes; *fd is the descriptor that came with them. False at the end.
bool
receive (void *buffer, size_t n, int *fd)
{
  for (size_t done = 0; done < n;) {
    struct iovec io = {(char *)buffer + done, n - done};
    alignas (struct cmsghdr) char control[CMSG_SPACE (sizeof (int))];
    struct msghdr message = {};
    ssize_t k;

    message.msg_iov = &io;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    k = recvmsg (TESS_CODEC_SOCKET, &message, MSG_CMSG_CLOEXEC);
    if (k < 0 && errno == EINTR)
      continue;
    if (k <= 0)
      return false;
    for (struct cmsghdr *c = CMSG_FIRSTHDR (&message); c; c = CMSG_NXTHDR (&message, c))
      if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN (sizeof (int)) &&
          *fd < 0)
        std::memcpy (fd, CMSG_DATA (c), sizeof (int));
    done += (size_t)k;
  }
  return true;
}

bool
reply (const std::string &answer)
{
  uint32_t n = (uint32_t)answer.size ();
  std::string message ((const char *)&n, sizeof n);

  message += answer;
  for (size_t done = 0; done < message.size ();) {
    ssize_t k = send (TESS_CODEC_SOCKET, message.data () + done, message.size () - done, MSG_NOSIGNAL);

    if (k < 0 && errno == EINTR)
      continue;
    if (k <= 0)
      return false;
    done += (size_t)k;
  }
  return true;
}

// Requests are the program's own: short, flat and well-formed. "name":NUMBER
size_t
number_in (const std::string &request, const char *name)
{
  size_t at = request.find ("\"" + std::string (name) + "\":");

  return at == std::string::npos ? 0
                                 : (size_t)std::strtoull (request.c_str () + at + std::strlen (name) + 3, nullptr, 10);
}

bool
is_about (const std::string &request, const char *what)
{
  return request.compare (0, std::strlen (what) + 8, "{\"do\":\"" + std::string (what) + "\"") == 0;
}

#if TESS_CODEC_GDCM
std::string
answer_dicom (const std::string &request, int fd, Mapping &memory)
{
  size_t at = number_in (request, "at"), n = number_in (request, "n");
  Mapping file;

  if (!file.map (fd, false))
    return tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
  if (is_about (request, "dicom-scan"))
    return tess_codec_dicom_scan ({file.bytes, file.n});
  if (at > memory.n || n > memory.n - at)
    return tess_codec_failure (TESS_CODEC_MISUSE, "");
  return tess_codec_dicom_decode ({file.bytes, file.n}, memory.bytes + at, n);
}
#endif

#if TESS_CODEC_HDF5
std::string
answer_hdf5 (const std::string &request, int fd, Mapping &memory)
{
  size_t n = number_in (request, "n");
  struct stat st;
  Mapping plan;

  if (fstat (fd, &st) != 0 || st.st_size < 0 || n > memory.n)
    return tess_codec_failure (TESS_CODEC_MISUSE, "");
  if (is_about (request, "hdf5-scan"))
    return tess_codec_hdf5_scan (fd, (uint64_t)st.st_size);
  if (is_about (request, "hdf5-chunks"))
    return tess_codec_hdf5_chunks (fd, (uint64_t)st.st_size, number_in (request, "at"), memory.bytes, n);
  return plan.map (fd, false) ? tess_codec_hdf5_frame (plan.bytes, plan.n, memory.bytes, n)
                              : tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
}
#endif

std::string
answer (const std::string &request, int fd, Mapping &memory)
{
  if (is_about (request, "memory"))
    return memory.map (fd, true) ? "{}" : tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
#if TESS_CODEC_GDCM
  if (is_about (request, "dicom-scan") || is_about (request, "dicom-decode"))
    return answer_dicom (request, fd, memory);
#endif
#if TESS_CODEC_HDF5
  if (is_about (request, "hdf5-scan") || is_about (request, "hdf5-chunks") || is_about (request, "hdf5-frame"))
    return answer_hdf5 (request, fd, memory);
#endif
  return tess_codec_failure (TESS_CODEC_NOT_BUILT, "");
}

std::string
safe_answer (const std::string &request, int fd, Mapping &memory)
{
  try {
    return answer (request, fd, memory);
  } catch (const std::bad_alloc &) {
    return tess_codec_failure (TESS_CODEC_NO_MEMORY, "");
  } catch (const std::length_error &) {
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  } catch (const std::exception &) {
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  } catch (...) {
    return tess_codec_failure (TESS_CODEC_DAMAGED, "");
  }
}

} // namespace

int
main (int argc, char **argv)
{
  struct stat st;
  Mapping memory;

  if (argc != 2 || fstat (TESS_CODEC_SOCKET, &st) != 0 || !S_ISSOCK (st.st_mode)) {
    std::fprintf (stderr, "tessera-codec is started by tessera and tessera-cli, to read DICOM and HDF5 files for them.\n");
    return 2;
  }
  tess_codec_sandbox_limits ((unsigned)std::strtoul (argv[1], nullptr, 10));
  tess_codec_sandbox_enter ();
  for (;;) {
    uint32_t n;
    int fd = -1;
    std::string request;
    bool sent;

    if (!receive (&n, sizeof n, &fd) || n > TESS_CODEC_MAX_REQUEST)
      break;
    request.resize (n);
    if (!receive (&request[0], n, &fd))
      break;
    sent = reply (safe_answer (request, fd, memory));
    if (fd >= 0)
      close (fd);
    if (!sent)
      break;
  }
  _exit (0);
}
