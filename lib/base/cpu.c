#include "base/cpu.h"
#include "base/error.h"

#include <stdlib.h>
#include <string.h>

#if defined __x86_64__
#include <cpuid.h>
#include <immintrin.h>
#if defined __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

#ifdef __FAST_MATH__
#error "the result must be the same on every machine: build without -ffast-math"
#endif

static const char *const names[VAE_ISA_COUNT] = {"scalar", "neon", "avx2", "avx512"};

const char *vae_isa_name(enum vae_isa isa) { return names[isa]; }

bool vae_isa_runs(enum vae_isa isa)
{
	switch (isa) {
	case VAE_ISA_SCALAR: return true;
#if defined __x86_64__
	case VAE_ISA_AVX2: return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	case VAE_ISA_AVX512:
		return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		       __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
#elif defined __aarch64__
	case VAE_ISA_NEON: return true;
#endif
	default: return false;
	}
}

/* These ask cpuid, since older compilers do not know the features' names. */
bool vae_vnni_runs(enum vae_isa isa)
{
#if defined __x86_64__
	unsigned a, b, c, d;
	if (isa == VAE_ISA_AVX512)
		return vae_isa_runs(isa) && __get_cpuid_count(7, 0, &a, &b, &c, &d) && c >> 11 & 1;
	return isa == VAE_ISA_AVX2 && vae_isa_runs(isa) && __get_cpuid_count(7, 1, &a, &b, &c, &d) &&
	       a >> 4 & 1;
#else
	(void)isa;
	return false;
#endif
}

bool vae_bf16_runs(void)
{
#if defined __x86_64__
	unsigned a, b, c, d;
	return vae_isa_runs(VAE_ISA_AVX512) && __get_cpuid_count(7, 1, &a, &b, &c, &d) && a >> 5 & 1;
#else
	return false;
#endif
}

/* Asks Linux for the tile registers: ARCH_REQ_XCOMP_PERM (0x1023) of XFEATURE_XTILEDATA (18). */
bool vae_amx_runs(void)
{
#if defined __x86_64__ && defined __linux__
	unsigned a, b, c, d;
	return vae_bf16_runs() && __get_cpuid_count(7, 0, &a, &b, &c, &d) && d >> 22 & d >> 24 & 1 &&
	       !syscall(SYS_arch_prctl, 0x1023, 18);
#else
	return false;
#endif
}

static const char *named(void)
{
	const char *want = getenv("VAE_CPU");
	return want && *want ? want : NULL;
}

bool vae_isa_named(void) { return named() != NULL; }

int vae_isa_check(struct vae_error *error)
{
	const char *want = named();
	char known[64] = "";
	for (int i = 0; i < VAE_ISA_COUNT; i++) {
		if (!want || !strcmp(want, names[i]))
			return 0;
		strcat(strcat(known, i ? ", " : ""), names[i]);
	}
	return vae_fail(error, VAE_EARG, "VAE_CPU: '%.40s' is none of %s", want, known);
}

enum vae_isa vae_isa_choose(void)
{
	const char *want = named();
	if (want) {
		for (int i = 0; i < VAE_ISA_COUNT; i++)
			if (!strcmp(want, names[i]) && vae_isa_runs((enum vae_isa)i))
				return (enum vae_isa)i;
		return VAE_ISA_SCALAR;
	}
	for (int i = VAE_ISA_COUNT - 1; i > 0; i--)
		if (vae_isa_runs((enum vae_isa)i))
			return (enum vae_isa)i;
	return VAE_ISA_SCALAR;
}

uint64_t vae_fp_enter(void)
{
#if defined __x86_64__
	uint64_t state = _mm_getcsr();
	_mm_setcsr(0x1f80); /* all exceptions masked, nearest, no flush-to-zero, denormals kept */
	return state;
#elif defined __aarch64__
	uint64_t state;
	__asm__ volatile("mrs %0, fpcr" : "=r"(state));
	__asm__ volatile("msr fpcr, %0" : : "r"((uint64_t)0));
	return state;
#else
	return 0;
#endif
}

void vae_fp_leave(uint64_t state)
{
#if defined __x86_64__
	_mm_setcsr((unsigned)state);
#elif defined __aarch64__
	__asm__ volatile("msr fpcr, %0" : : "r"(state));
#else
	(void)state;
#endif
}
