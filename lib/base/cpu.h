/* cpu.h - which kernels this machine can run, and the floating-point state they need. */
#ifndef VAE_BASE_CPU_H
#define VAE_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vae.h"

enum vae_isa { VAE_ISA_SCALAR, VAE_ISA_NEON, VAE_ISA_AVX2, VAE_ISA_AVX512, VAE_ISA_COUNT };

const char *vae_isa_name(enum vae_isa isa); /* "scalar", "neon", "avx2", "avx512" */
bool vae_isa_runs(enum vae_isa isa); /* the CPU and the operating system support it, and this build
                                        has it */
bool vae_bf16_runs(void);            /* the CPU has AVX512-BF16, and AVX-512 runs */
/* The CPU multiplies matrices of bf16 (AMX), and Linux lets this process; AVX512-BF16 runs. Asks
 * Linux, which then keeps 8 KB more a thread, and in the frame of each signal, as long as the
 * process lives. */
bool vae_amx_runs(void);
/* Returns 0 where $VAE_CPU is not set, empty, or a name that vae_isa_name gives, else VAE_EARG with
 * a text that lists the names. Whoever makes an object that runs kernels asks first. */
int vae_isa_check(struct vae_error *error);
/* Returns the best that runs, or what $VAE_CPU names where that runs; one that does not means
 * scalar. */
enum vae_isa vae_isa_choose(void);
bool vae_isa_named(void); /* $VAE_CPU chooses */

/* Exact arithmetic needs round-to-nearest, no flush-to-zero, no traps. Enter on every thread that
 * computes; leave restores. */
uint64_t vae_fp_enter(void); /* returns the state to hand to vae_fp_leave */
void vae_fp_leave(uint64_t state);

#endif
