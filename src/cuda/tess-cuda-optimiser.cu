#include "tess-cuda-item.h"

/* Gradient norm and optimisers over whole arenas; tess_graph_append_optimiser() says what they compute. */

namespace
{

struct Square {
  const float *grad;
  int64_t n;

  ITEM void operator() (int64_t, int64_t row, int64_t column, float *part) const
  {
    int64_t i = row * 64 + column;
    float g = i < n ? grad[i] : 0.0f;

    part[0] += g * g;
  }
};

struct TakeNorm {
  const double *totals; /* of the 64 columns */
  double *norm;

  ITEM void operator() (int64_t) const
  {
    double sum = 0;

    for (int c = 0; c < 64; c++)
      sum += totals[c];
    *norm = sqrt (sum);
  }
};

/* The factor on the gradient that brings its norm to clip_norm, as torch.nn.utils.clip_grad_norm_ has it. */
ITEM inline float
clip_of (const TessCudaOptimiser &o)
{
  float clip = o.args->clip_norm > 0 ? (float)o.args->clip_norm / (float)(*o.norm + 1e-6) : 1.0f;

  return clip < 1.0f ? clip : 1.0f;
}

struct Sgd {
  TessCudaOptimiser o;

  ITEM void operator() (int64_t i) const
  {
    float momentum = (float)o.args->momentum;
    float d = clip_of (o) * o.grad[i] + (float)o.args->weight_decay * o.param[i];
    float v = momentum * o.momentum[i] + d;

    o.momentum[i] = v;
    o.param[i] -= (float)o.args->rate * (d + momentum * v);
  }
};

struct Adam {
  TessCudaOptimiser o;

  ITEM void operator() (int64_t i) const
  {
    const TessCudaArgs *a = o.args;
    float p = o.param[i], d = clip_of (o) * o.grad[i], m, v;

    if (o.decoupled)
      p -= (float)(a->rate * a->weight_decay) * p;
    else
      d += (float)a->weight_decay * p;
    m = (float)a->beta1 * o.momentum[i] + (float)(1 - a->beta1) * d;
    v = (float)a->beta2 * o.variance[i] + (float)(1 - a->beta2) * d * d;
    o.momentum[i] = m;
    o.variance[i] = v;
    o.param[i] = p - (float)a->rate / (float)a->correct1 * m / (sqrtf (v / (float)a->correct2) + (float)a->epsilon);
  }
};

} // namespace

extern "C" size_t
tess_cuda_grad_norm_scratch (int64_t n)
{
  return sum_plan (1, (n + 63) / 64, 64).doubles * sizeof (double) + 64 * sizeof (double);
}

extern "C" cudaError_t
tess_cuda_grad_norm (int64_t n, const float *grad, double *norm, void *scratch, cudaStream_t stream)
{
  double *totals = (double *)scratch + sum_plan (1, (n + 63) / 64, 64).doubles;
  Sums<1> sums;
  cudaError_t status = sum_rows (Square{grad, n}, 1, (n + 63) / 64, 64, scratch, stream, &sums);

  if (status == cudaSuccess)
    status = launch (TakeTotals<1>{sums, totals}, 64, stream);
  return status != cudaSuccess ? status : launch (TakeNorm{totals, norm}, 1, stream);
}

extern "C" cudaError_t
tess_cuda_sgd (const TessCudaOptimiser *a, cudaStream_t stream)
{
  return launch (Sgd{*a}, a->n, stream);
}

extern "C" cudaError_t
tess_cuda_adam (const TessCudaOptimiser *a, cudaStream_t stream)
{
  return launch (Adam{*a}, a->n, stream);
}
