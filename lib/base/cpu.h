/* cpu.h - which kernels this machine can run, and the floating-point state they need. */
#ifndef VAE_BASE_CPU_H
#define VAE_BASE_CPU_H

#include <stdbool.h>
#include <stdint.h>

#include "vae.h"

enum vae_isa { VAE_ISA_SCALAR, VAE_ISA_NEON, VAE_ISA_AVX2, VAE_ISA_AVX512, VAE_ISA_COUNT };

const char *vae_isa_name(enum vae_isa isa); /* "scalar", "neon", "avx2", "avx512" */
/* Returns whether the CPU, the operating system and this build support an instruction set. */
bool vae_isa_runs(enum vae_isa isa);
/* Returns whether the CPU has VNNI for the vectors of an instruction set, AVX2 or AVX512, and that
 * runs. */
bool vae_vnni_runs(enum vae_isa isa);
/* Returns whether the CPU has AVX512-BF16 and AVX-512 runs. */
bool vae_bf16_runs(void);
/* Returns whether the CPU multiplies matrices of bf16 (AMX), Linux permits it to this process, and
 * AVX512-BF16 runs. The call asks Linux for the permission; from then on each thread and each
 * signal frame takes 8 KB more, for the life of the process. */
bool vae_amx_runs(void);
/* Returns 0 if $VAE_CPU is unset, empty, or a name that vae_isa_name returns; else VAE_EARG with a
 * text that lists the names. Constructors of objects that run kernels call it first. */
int vae_isa_check(struct vae_error *error);
/* Returns the instruction set that $VAE_CPU names, or scalar if that one does not run; without
 * $VAE_CPU, the best that runs. */
enum vae_isa vae_isa_choose(void);
bool vae_isa_named(void); /* whether $VAE_CPU chooses */

/* Sets the floating-point state that exact arithmetic needs: round to nearest, no flush-to-zero, no
 * traps. Call it on every thread that computes; vae_fp_leave restores the old state. */
uint64_t vae_fp_enter(void); /* returns the state for vae_fp_leave */
void vae_fp_leave(uint64_t state);

#endif
