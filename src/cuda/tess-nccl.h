#pragma once

#include <cuda_runtime_api.h>

#include "tess-error.h"

G_BEGIN_DECLS

/* NCCL 2 through a table of function pointers, as cuDNN: the plugin links none of it. Declared here is what is called
 * of its interface (NCCL's documentation, "NCCL API"), so that its header is not needed either. */
typedef struct _TessNcclComm TessNcclComm;

typedef struct {
  char bytes[128]; /* NCCL_UNIQUE_ID_BYTES */
} TessNcclId;

typedef enum { TESS_NCCL_SUCCESS = 0, TESS_NCCL_IN_PROGRESS = 7 } TessNcclStatus; /* the others are failures */
typedef enum { TESS_NCCL_F32 = 7, TESS_NCCL_F64 = 8 } TessNcclType;
typedef enum { TESS_NCCL_SUM = 0 } TessNcclOp;

/* name, what it returns, what it takes */
#define TESS_NCCL_FUNCTIONS(X) \
  X (GetVersion, TessNcclStatus, (int *version)) \
  X (GetErrorString, const char *, (TessNcclStatus status)) \
  X (GetUniqueId, TessNcclStatus, (TessNcclId *id)) \
  X (CommInitRank, TessNcclStatus, (TessNcclComm **comm, int n_ranks, TessNcclId id, int rank)) \
  X (CommGetAsyncError, TessNcclStatus, (TessNcclComm *comm, TessNcclStatus *status)) \
  X (CommDestroy, TessNcclStatus, (TessNcclComm *comm)) \
  X (AllReduce, TessNcclStatus, (const void *from, void *to, size_t n, TessNcclType type, TessNcclOp op, TessNcclComm *comm, cudaStream_t stream))

typedef struct {
#define TESS_NCCL_MEMBER(name, type, arguments) type (*name) arguments;
  TESS_NCCL_FUNCTIONS (TESS_NCCL_MEMBER)
#undef TESS_NCCL_MEMBER
} TessNccl;

const TessNccl *tess_nccl_load  (GError **error);
gboolean        tess_nccl_check (const TessNccl *nccl, TessNcclStatus status, const char *doing, GError **error);

G_END_DECLS
