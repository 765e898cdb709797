# vae-tools: GNU make, gcc or clang. Everything that is built goes under build/.
#
#   make              the programs, into build/ (they find models/); the system stays as it is
#   make demo         dependencies, programs, and a photograph compressed and decompressed
#   make check        dependencies, programs, all tests, and a list of those skipped
#   make install      PREFIX=/usr/local DESTDIR=, and below PREFIX LIBDIR=lib PYTHONDIR=DIR
#   make uninstall    with the same
#   make deps         installs missing Debian packages with apt-get, and asks if it can
#                     DEPS=yes: without asking; DEPS=no: lists them (wherever deps is needed)
#   make MPI=1        vae-train for several machines, with the MPI of pkg-config or mpicc
#   make deb          Debian packages, into build/deb/
#   make dist         a tarball of the last commit, into build/
#   make clean
#   make help         these lines
#
# More checks:
#   make check-sanitize   make check under ASan and UBSan
#   make check-fresh      make demo and make check in a minimal Debian 12: tests/fresh.sh
#   make check-builds     the same bytes from gcc and clang, at every level of optimisation
#   make check-cross      the same bytes on 64-bit Arm and big-endian s390x, under qemu
#   make check-mpi        training on two ranks, built in build/mpi
#   make check-valgrind   the programs under valgrind
#   make check-deb        lintian, installation, use and purge of the packages
#   make faults           every allocation made to fail, which takes an hour; RUNS=N: N of each
#                         command's
#   make fuzz-run         FUZZ_SECONDS=60: libFuzzer (clang) on every reader
#   make mutations        100,000 damaged codes (tests/fuzz/README.md)
#
# Measurements:
#   make bench            the cost of the programs and their peers: bench/speed.sh; MODEL=NAME, N=RUNS
#   make bench-train      the trainer's use of the machine: bench/train.sh; MODEL, N=ROUNDS, THREADS=N
#   make bench-bounds     whether small files that claim to be large are refused in 50 ms, and
#                         1,000 files listed in 2 s
MAKEFLAGS += --no-builtin-rules
PREFIX ?= /usr/local
ifneq ($(words $(PREFIX)/),1)
$(error PREFIX is '$(PREFIX)', of several words: only DESTDIR may have spaces)
endif
override PREFIX := $(abspath $(PREFIX))
LIBDIR ?= lib
CFLAGS ?= -O2 -g
PKG_CONFIG ?= pkg-config
B ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 1)

VERSION := $(shell sed -n 's/^.define VAE_VERSION "\(.*\)"/\1/p' lib/vae.h)
PKGS = libzstd jansson libxxhash
HAVE_PKGS := $(shell $(PKG_CONFIG) --exists $(PKGS) 2>/dev/null && echo yes)
PKG_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null; \
	$(PKG_CONFIG) --cflags netpbm 2>/dev/null)
PKG_LIBS := $(shell $(PKG_CONFIG) --libs netpbm 2>/dev/null || echo -lnetpbm) \
	$(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

# Flags of exact arithmetic come after the user's CFLAGS, at compile and at link: no contraction, no
# reassociation. (With -fno-unsafe-math-optimizations alone, clang keeps floating-point traps and does
# not vectorise.) -Ofast is -O3 and fast-math; it is reduced to -O3, since at link fast-math would set
# flush-to-zero.
EXACT = -std=gnu17 -fno-unsafe-math-optimizations -fno-fast-math -fno-finite-math-only -fno-trapping-math \
	-ffp-contract=off -fopenmp
WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Werror=implicit-function-declaration $(if $(findstring clang,$(COMPILER)),-Wno-overriding-t-option)
COMPILER := $(shell $(CC) --version 2>/dev/null)
USER_CFLAGS = $(patsubst -Ofast,-O3,$(CFLAGS))
USER_LDFLAGS = $(patsubst -Ofast,-O3,$(LDFLAGS))
# What only vae.h declares is seen outside libvae.so: that header says so.
SHARE_FLAGS = -fPIC -fvisibility=hidden
ALL_CFLAGS = $(WARN) $(CPPFLAGS) $(USER_CFLAGS) $(EXACT) $(SHARE_FLAGS) -Ilib -D_GNU_SOURCE $(PKG_CFLAGS)
LIBS = $(PKG_LIBS) -lm -ldl
# MPI=1: only vae-train uses MPI.
ifneq ($(filter-out 0 no,$(MPI)),)
MPI_PKG := $(firstword $(foreach name,mpi-c ompi-c ompi mpich,\
	$(shell $(PKG_CONFIG) --exists $(name) 2>/dev/null && echo $(name))))
MPI_CFLAGS := -DVAE_MPI \
	$(if $(MPI_PKG),$(shell $(PKG_CONFIG) --cflags $(MPI_PKG)),$(shell mpicc --showme:compile 2>/dev/null))
MPI_LIBS := $(if $(MPI_PKG),$(shell $(PKG_CONFIG) --libs $(MPI_PKG)),$(shell mpicc --showme:link 2>/dev/null))
MPI_DEPS = mpicc:libopenmpi-dev mpirun:openmpi-bin
endif
# Prints a word for each command; V=1 prints the commands.
Q := $(if $(V),,@)
say = $(if $(V),,@echo '  $1 $2')
COMPILE = $(CC) $(ALL_CFLAGS) $(DEFINES) -MMD -MP
LINK = $(CC) $(USER_CFLAGS) $(USER_LDFLAGS) $(EXACT)

# Kernels, and the walk over exact samples: one object of each source for each instruction set; one
# of them is chosen at run time.
ARCH := $(shell $(CC) -dumpmachine 2>/dev/null)
ISAS := scalar $(if $(findstring x86_64,$(ARCH)),avx2 avx512) $(if $(findstring aarch64,$(ARCH)),neon)
ISA_FLAGS_avx2 = -mavx2 -mfma
ISA_FLAGS_avx512 = -mavx512f -mavx512dq -mavx512bw -mavx512vl -mfma -mprefer-vector-width=512
knows = $(shell $(CC) $1 -E -x c /dev/null >/dev/null 2>&1 && echo $1)
# The compiler writes the stack of each function beside its object; tests/stack.sh reads it.
STACK_USAGE := $(call knows,-fstack-usage)
# The instructions for which bf16.c is compiled: those that the compiler knows.
BF16_FLAGS := $(if $(filter avx512,$(ISAS)),\
	$(ISA_FLAGS_avx512) $(call knows,-mavx512bf16) $(call knows,-mamx-tile -mamx-bf16))

ISA_SRC := lib/kernel/kernels.c lib/kernel/int16.c lib/kernel/s2.c lib/exact/walk.c
LIB_SRC := $(filter-out $(ISA_SRC),$(wildcard lib/*.c lib/*/*.c))
# Integer products are built once more with VNNI, where the compiler knows its instructions.
VNNI := $(foreach isa,$(filter avx2 avx512,$(ISAS)),$(isa)_vnni)
ISA_FLAGS_avx2_vnni = $(ISA_FLAGS_avx2) $(call knows,-mavxvnni) -DVAE_ISA_avx2=1 -DVAE_VNNI=1
ISA_FLAGS_avx512_vnni = $(ISA_FLAGS_avx512) $(call knows,-mavx512vnni) -DVAE_ISA_avx512=1 -DVAE_VNNI=1
LIB_OBJ := $(foreach isa,$(ISAS),$(ISA_SRC:%.c=$(B)/obj/%-$(isa).o)) \
	$(VNNI:%=$(B)/obj/lib/kernel/int16-%.o) $(LIB_SRC:%.c=$(B)/obj/%.o)
# The shared library has no training, whose functions are not in vae.h. A static build has no shared library.
SONAME := libvae.so.$(firstword $(subst ., ,$(VERSION)))
SO := libvae.so.$(VERSION)
SO_OBJ := $(filter-out $(B)/obj/lib/train/%,$(LIB_OBJ))
SHARED := $(if $(filter -static%,$(CFLAGS) $(LDFLAGS)),,$(B)/libvae.so)
TOOL_SRC := $(wildcard tools/vae-*.c)
TOOL_OBJ := $(patsubst %.c,$(B)/obj/%.o,$(wildcard tools/*.c))
# Parts of single programs; the rest of tools/ is linked into each.
TRAIN_OBJ := $(B)/obj/tools/cluster.o
STAT_OBJ := $(filter $(B)/obj/tools/stat_%,$(TOOL_OBJ))
TOOL_COMMON := $(filter-out $(B)/obj/tools/vae-% $(TRAIN_OBJ) $(STAT_OBJ),$(TOOL_OBJ))
TOOLS := $(TOOL_SRC:tools/%.c=$(B)/%)
FUZZ := image latents codes model slice
REPLAY := $(FUZZ:%=$(B)/tests/replay-%) $(B)/tests/mutations
FAULTS := $(B)/tests/exhaust $(B)/tests/measure $(B)/tests/shim.so
UNIT := $(patsubst tests/unit/%.c,$(B)/tests/%,$(wildcard tests/unit/*.c))
BENCH := $(patsubst bench/%.c,$(B)/bench/%,$(wildcard bench/*.c))
# Tests that are scripts; the longest first, so that none runs alone at the end.
LONG := $(addprefix tests/,cli/train.bats cli/golden.bats spec.sh cli/examples.bats)
APART := $(addprefix tests/,cross.sh builds.sh mpi.sh valgrind.sh skips.sh fresh.sh)
SCRIPTS := $(LONG) $(filter-out $(LONG) $(APART),$(wildcard tests/*.sh) $(wildcard tests/*/*.bats))

# How others find the library.
BESIDE := $(addprefix $(B)/,vae.pc vae-static.pc vae-config.cmake vae-config-version.cmake)

all: $(TOOLS) $(B)/vae $(B)/libvae.a $(SHARED) $(BESIDE) $(B)/python/vae.py
unit: $(UNIT) $(REPLAY) $(FAULTS)
benches: $(BENCH)

# ---- what is built -------------------------------------------------------------------------------

define ISA_RULE
$(B)/obj/%-$1.o: %.c $(B)/flags
	@mkdir -p $$(@D)
	$$(call say,CC,$$< ($1))
	$$(Q)$$(COMPILE) $$(STACK_USAGE) $$(ISA_FLAGS_$1) -O3 -DVAE_ISA_$1=1 -c $$< -o $$@
endef
$(foreach isa,$(ISAS) $(VNNI),$(eval $(call ISA_RULE,$(isa))))
$(B)/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(STACK_USAGE) -c $< -o $@
$(B)/obj/lib/kernel/bf16.o: DEFINES = $(BF16_FLAGS) -O3
$(B)/obj/lib/exact/colour.o $(B)/obj/lib/exact/photo.o: DEFINES = -O3
$(B)/obj/lib/model/find.o: DEFINES = -DVAE_MODELS='"$(PREFIX)/share/vae-tools/models"'
$(B)/obj/lib/model/find.o: $(B)/prefix
$(B)/libvae.a: $(LIB_OBJ)
	@rm -f $@.new
	$(call say,AR,$@)
	$(Q)$(AR) rcs $@.new $^ && mv $@.new $@
$(B)/$(SO): $(SO_OBJ) packaging/libvae.map
	$(call say,LD,$@)
	$(Q)$(LINK) -shared -Wl,-soname,$(SONAME) -Wl,--version-script=packaging/libvae.map \
		$(SO_OBJ) $(LIBS) -o $@
$(B)/libvae.so: $(B)/$(SO)
	@ln -sfn $(SO) $(B)/$(SONAME) && ln -sfn $(SONAME) $@
$(B)/vae-%: $(B)/obj/tools/vae-%.o $(TOOL_COMMON) $(B)/libvae.a
	$(call say,LD,$@)
	$(Q)$(LINK) $(filter %.o,$^) $(filter %.a,$^) $(LIBS) -o $@
$(B)/vae-stat: $(STAT_OBJ)
$(B)/vae-train: $(TRAIN_OBJ)
$(B)/obj/tools/cluster.o: DEFINES = $(MPI_CFLAGS)
$(B)/vae-train: LIBS += $(MPI_LIBS)
$(B)/tests/%: tests/unit/%.c $(B)/libvae.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -Itests/unit $(USER_LDFLAGS) $< $(B)/libvae.a $(LIBS) -o $@
$(B)/tests/replay-%: tests/fuzz/%.c tests/fuzz/replay.c $(B)/libvae.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -DTARGET='"$*"' -Itests/unit $(USER_LDFLAGS) $(filter %.c %.a,$^) $(LIBS) -o $@
$(B)/tests/mutations: tests/fuzz/mutations.c $(B)/libvae.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) -Itests/unit $(USER_LDFLAGS) $< $(B)/libvae.a $(LIBS) -o $@
$(B)/tests/exhaust $(B)/tests/measure: $(B)/tests/%: tests/faults/%.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(WARN) -O1 -g -std=gnu17 -D_GNU_SOURCE -Itests/unit $< -o $@
$(B)/tests/shim.so: tests/faults/shim.c $(B)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) -O1 -g -std=gnu17 -D_GNU_SOURCE -fPIC -shared $< -o $@
$(REPLAY): tests/fuzz/fuzz.h tests/fuzz/content.h tests/unit/same.h
$(B)/fuzz-%: tests/fuzz/%.c $(B)/libvae.a tests/fuzz/fuzz.h tests/fuzz/content.h tests/unit/same.h
	$(call say,CC,$<)
	$(Q)$(CC) $(ALL_CFLAGS) -Itests/unit $(USER_LDFLAGS) -fsanitize=fuzzer $(filter %.c %.a,$^) $(LIBS) -o $@
$(B)/bench/%: bench/%.c $(B)/libvae.a
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(COMPILE) $(USER_LDFLAGS) $< $(B)/libvae.a $(LIBS) -o $@
$(B)/vae: tools/vae
	$(Q)install $< $@

define PC
prefix=$(PREFIX)
libdir=$${prefix}/$(LIBDIR)
includedir=$${prefix}/include

Version: $(VERSION)
Cflags: -I$${includedir}
endef
define VAE_PC
$(PC)
Name: libvae
Description: Learned image compression with a variational autoencoder
Libs: -L$${libdir} -lvae
Libs.private: $(PKG_LIBS) -fopenmp -lm -ldl
endef
define VAE_STATIC_PC
$(PC)
Name: libvae, static
Description: Learned image compression with a variational autoencoder, the archive, which has training too
Requires: $(PKGS)
Libs: -L$${libdir} -l:libvae.a $(shell $(PKG_CONFIG) --libs netpbm 2>/dev/null || echo -lnetpbm) \
	-fopenmp -lm -ldl
endef
$(B)/vae.pc: export TEXT = $(VAE_PC)
$(B)/vae-static.pc: export TEXT = $(VAE_STATIC_PC)
$(B)/vae.pc $(B)/vae-static.pc: $(B)/prefix $(B)/libdir $(B)/flags lib/vae.h Makefile
	@printf '%s\n' "$$TEXT" > $@

# For CMake, which computes the prefix from this file's own folder.
NETPBM := $(patsubst -l%,%,$(filter -l%,$(shell $(PKG_CONFIG) --libs netpbm 2>/dev/null || \
	echo -lnetpbm)))
UP := $(shell echo $(LIBDIR)/cmake/vae | sed 's|[^/][^/]*|..|g')
$(B)/vae-config%: packaging/vae-config%.in $(B)/libdir $(B)/flags lib/vae.h Makefile
	@sed -e 's|@VERSION@|$(VERSION)|; s|@SONAME@|$(SONAME)|; s|@UP@|$(UP)|' \
		-e 's|@NETPBM@|$(NETPBM)|; s|@PKGS@|$(PKGS)|' $< > $@

$(B)/python/vae.py: python/vae.py lib/vae.h
	@mkdir -p $(@D)
	@sed 's|@VERSION@|$(VERSION)|; s|@SONAME@|$(SONAME)|' $< > $@

# Stamps hold the flags, the prefix and the library folder of the last build; a change rebuilds what
# depends on them.
FLAGS = $(strip $(CC) $(ALL_CFLAGS) $(STACK_USAGE) $(USER_LDFLAGS) $(PKG_LIBS) -lm $(MPI_CFLAGS) $(MPI_LIBS))
ifneq ($(FLAGS),$(strip $(file <$(B)/flags)))
$(B)/flags: FORCE
endif
ifneq ($(PREFIX),$(strip $(file <$(B)/prefix)))
$(B)/prefix: FORCE
endif
ifneq ($(LIBDIR),$(strip $(file <$(B)/libdir)))
$(B)/libdir: FORCE
endif
$(B)/flags: export TEXT = $(FLAGS)
$(B)/prefix: export TEXT = $(PREFIX)
$(B)/libdir: export TEXT = $(LIBDIR)
$(B)/flags:
	$(if $(HAVE_PKGS),,$(error $(PKG_CONFIG) does not know all of $(PKGS): try "make deps"))
	@mkdir -p $(@D) && printf '%s\n' "$$TEXT" > $@
$(B)/prefix $(B)/libdir:
	@mkdir -p $(@D) && printf '%s\n' "$$TEXT" > $@

# ---- what is run: each installs its dependencies, then calls make again ---------------------------

AGAIN = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(JOBS))
# Tests use this tree's programs, and none of the user's models or settings; two tests at a time
# should not wait by spinning.
TEST_ENV = env -u VAE_MODEL -u VAE_MODEL_PATH -u VAE_CPU -u XDG_DATA_HOME -u OMP_NUM_THREADS \
	OMP_WAIT_POLICY=passive LC_ALL=C HOME=$(abspath $(B)) B=$(B) CC='$(CC)' PATH="$(abspath $(B)):$$PATH"

deps:
	@CC='$(CC)' DEPS='$(DEPS)' tools/deps.sh $(MPI_DEPS)
demo-deps:
	@CC='$(CC)' DEPS='$(DEPS)' tools/deps.sh demo
demo: demo-deps
	+@$(AGAIN) all
	@PATH="$(abspath $(B)):$$PATH" tools/demo.sh
check: deps
	+@$(AGAIN) all unit benches
	@rm -rf $(B)/tap
	@$(TEST_ENV) prove -j$(JOBS) --timer --failures --comments --exec 'tests/skips.sh run' \
		$(SCRIPTS) $(UNIT) $(REPLAY) $(B)/tests/exhaust; \
		status=$$?; B=$(B) tests/skips.sh list; exit $$status

check-fresh:
	@tests/fresh.sh

bench: all benches
	@B=$(B) bench/speed.sh
# Not part of make check: processor time depends on the machine.
bench-bounds: all unit
	@$(TEST_ENV) BOMB_MS=50 bats tests/cli/bombs.bats
	@$(TEST_ENV) LIST_MS=2000 bats --filter 'are listed' tests/cli/vae.bats
bench-train: all benches
	@B=$(B) bench/train.sh

# VAE_TEST_FAST=1 lets long tests do less. The programs look for models in EXE/../models, vae for its
# parts in EXE/../tools, hence the links.
SANITIZE = -O1 -g1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
check-sanitize:
	@mkdir -p build/asan && ln -sfn ../models ../tools build/
	+@ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=1:$$ASAN_OPTIONS \
		UBSAN_OPTIONS=print_stacktrace=1 VAE_TEST_FAST=1 \
		$(MAKE) --no-print-directory check B=build/asan CFLAGS='$(SANITIZE)'

# MPI's flags are known only after its installation, hence make within make.
check-mpi:
	+@$(MAKE) --no-print-directory deps MPI=1
	@mkdir -p $(B)/mpi && ln -sfn $(CURDIR)/models $(B)/models
	+@$(AGAIN) all MPI=1 B=$(B)/mpi
	@B=$(B)/mpi prove --verbose --timer --failures --exec '' tests/mpi.sh

# libFuzzer comes with clang. The targets are built a second time to measure coverage.
FUZZ_CC ?= clang
FUZZ_SECONDS ?= 60
FUZZ_FLAGS = -O1 -g -Wno-pass-failed
FUZZ_SANITIZE = -fno-omit-frame-pointer -fno-sanitize-recover=all \
	-fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow
fuzz:
	+@$(MAKE) --no-print-directory fuzz-targets B=build/fuzz CC=$(FUZZ_CC) \
		CFLAGS='$(FUZZ_FLAGS) $(FUZZ_SANITIZE)'
	+@$(MAKE) --no-print-directory fuzz-targets B=build/fuzz/coverage CC=$(FUZZ_CC) \
		CFLAGS='$(FUZZ_FLAGS) -fsanitize=fuzzer-no-link -fprofile-instr-generate -fcoverage-mapping'
fuzz-targets: $(FUZZ:%=$(B)/fuzz-%)
fuzz-run: all fuzz
	@tests/fuzz/run.sh $(FUZZ_SECONDS)

check-valgrind: all
	@B=$(B) prove --verbose --timer --failures --exec '' tests/valgrind.sh

mutations: $(B)/tests/mutations
	@$(B)/tests/mutations 100000

# Hours under a sanitizer: make faults B=build/asan, after make check-sanitize.
faults: all $(B)/tests/exhaust $(B)/tests/shim.so
	@PATH="$(abspath $(B)):$$PATH" B=$(B) $(B)/tests/exhaust $(or $(RUNS),0)

# Debian's cross compilers and emulators; libraries of the other machines are unpacked under build/,
# not installed.
check-cross:
	@B=$(B) CC='$(CC)' DEPS='$(DEPS)' tests/cross.sh deps
	@B=$(B) JOBS=$(JOBS) prove --verbose --timer --failures --exec '' tests/cross.sh

check-builds:
	@B=$(B) JOBS=$(JOBS) prove --verbose --timer --failures --exec '' tests/builds.sh

# ---- where it goes -------------------------------------------------------------------------------

# DESTDIR may have spaces; what lies below the prefix has none.
DEST = '$(DESTDIR)$(PREFIX)'
SHARE = share/vae-tools
COMPLETIONS = share/bash-completion/completions
MIME = share/mime/packages
THUMBNAILERS = share/thumbnailers
# Where a Python below the prefix looks for modules, or else Debian's name.
PYTHONDIR ?= $(or $(shell python3 -c 'import sys; print(next(p[len("$(PREFIX)/"):] for p in sys.path \
	if p.startswith("$(PREFIX)/lib/python") and p.endswith("-packages")))' 2>/dev/null),\
	lib/python3/dist-packages)
ifneq ($(filter /%,$(LIBDIR) $(PYTHONDIR)),)
$(error $(filter /%,$(LIBDIR) $(PYTHONDIR)): LIBDIR and PYTHONDIR lie below PREFIX, as lib does)
endif
NAMES := $(TOOL_SRC:tools/%.c=%) vae
MAN := $(wildcard man/*.[1-8])
MODELS := $(wildcard models/*.safetensors)

FOLDERS = bin include $(PYTHONDIR) $(SHARE)/models $(LIBDIR)/pkgconfig $(LIBDIR)/cmake/vae $(COMPLETIONS) \
	$(MIME) $(THUMBNAILERS)

install: all
	install -d $(FOLDERS:%=$(DEST)/%)
	install $(TOOLS) $(B)/vae $(DEST)/bin
	install -m 644 $(B)/libvae.a $(DEST)/$(LIBDIR)
	set -e; for so in $(SHARED); do install -m 644 $(B)/$(SO) $(DEST)/$(LIBDIR); \
		ln -sf $(SO) $(DEST)/$(LIBDIR)/$(SONAME); ln -sf $(SONAME) $(DEST)/$(LIBDIR)/libvae.so; done
	install -m 644 $(filter %.cmake,$(BESIDE)) $(DEST)/$(LIBDIR)/cmake/vae
	install -m 644 $(filter %.pc,$(BESIDE)) $(DEST)/$(LIBDIR)/pkgconfig
	install -m 644 lib/vae.h lib/vae_train.h $(DEST)/include
	install -m 644 $(B)/python/vae.py $(DEST)/$(PYTHONDIR)
	install -m 644 tools/completion.bash $(DEST)/$(COMPLETIONS)/vae
	set -e; for p in $(filter-out vae,$(NAMES)); do ln -sf vae $(DEST)/$(COMPLETIONS)/$$p; done
	install -m 644 tools/batch.mk tools/metadata.subr tools/vae.magic $(DEST)/$(SHARE)
	install -m 644 packaging/vae-tools.xml $(DEST)/$(MIME)
	install -m 644 packaging/vae-tools.thumbnailer $(DEST)/$(THUMBNAILERS)
	install tools/batch.sh tools/topnm $(DEST)/$(SHARE)
	set -e; for m in $(MODELS); do install -m 644 $$m $(DEST)/$(SHARE)/models; done
	set -e; for m in $(MAN); do install -D -m 644 $$m $(DEST)/share/man/man$${m##*.}/$${m##*/}; done
# Removes only what install put there: users may keep models of their own in the folder.
INSTALLED = $(NAMES:%=bin/%) $(NAMES:%=$(COMPLETIONS)/%) \
	$(PYTHONDIR)/vae.py $(PYTHONDIR)/__pycache__/vae.*.pyc \
	$(addprefix $(LIBDIR)/,libvae.a libvae.so $(SONAME) $(SO)) \
	$(patsubst $(B)/%,$(LIBDIR)/pkgconfig/%,$(filter %.pc,$(BESIDE))) \
	$(patsubst $(B)/%,$(LIBDIR)/cmake/vae/%,$(filter %.cmake,$(BESIDE))) \
	include/vae.h include/vae_train.h \
	$(foreach m,$(MAN),share/man/man$(subst .,,$(suffix $m))/$(notdir $m)) \
	$(MIME)/vae-tools.xml $(THUMBNAILERS)/vae-tools.thumbnailer \
	$(addprefix $(SHARE)/,batch.mk batch.sh metadata.subr topnm vae.magic) $(MODELS:%=$(SHARE)/%)
uninstall:
	set -e; [ -d $(DEST) ] || exit 0; cd $(DEST); rm -f $(INSTALLED); \
		for d in $(SHARE)/models $(SHARE) $(LIBDIR)/cmake/vae; do \
			[ ! -d $$d ] || rmdir --ignore-fail-on-non-empty $$d; done
# Builds Debian packages in B/deb; checks them with lintian, and their installation, use and purge
# (as root).
deb:
	@B=$(B) JOBS=$(JOBS) DEPS='$(DEPS)' packaging/build.sh
check-deb:
	@B=$(B) CC='$(CC)' JOBS=$(JOBS) DEPS='$(DEPS)' \
		prove --verbose --timer --failures --exec '' packaging/check.sh
dist:
	@mkdir -p build
	git archive --prefix=vae-tools-$(VERSION)/ --format=tar.gz HEAD > build/dist.new
	mv build/dist.new build/vae-tools-$(VERSION).tar.gz
help:
	@sed -n '/^[^#]/q; s/^#\( \|$$\)//p' $(firstword $(MAKEFILE_LIST))
clean:
	rm -rf build

-include $(wildcard $(LIB_OBJ:.o=.d) $(TOOL_OBJ:.o=.d) $(UNIT:=.d) $(BENCH:=.d))
FORCE:
.PHONY: all help unit bench bench-bounds bench-train benches deps demo-deps demo check check-fresh \
	check-sanitize check-builds check-cross check-mpi check-valgrind fuzz fuzz-targets fuzz-run \
	mutations faults install uninstall deb check-deb dist clean FORCE
.DELETE_ON_ERROR:
.PRECIOUS: $(B)/obj/%.o
