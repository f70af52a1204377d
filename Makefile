# eos: the same rules in GNU make and BSD make.
#   make CC=clang CFLAGS='-O3'      another compiler, other flags
#   make SAMPLES=50000              room for more training images; likewise
#   make THREADS=64 UNSTABLE=6      threads, unstable directions
#   make KERNELS=avx2               that kernel alone: avx512, avx2, neon, c

CC = cc
CFLAGS = -O2 -Wall -Wextra -Wpedantic
LDFLAGS =
SAMPLES = 5000
THREADS =
UNSTABLE =
KERNELS =
PREFIX = /usr/local

# make reproduce ONLY='mlp-mse-005 mlp-ce-050' DATA=images.bin SCALE=0.1
ONLY =
DATA = data/cifar10-5k.bin
TEST = data/cifar10-test1k.bin
SCALE = 1

# The numbers rely on these: fused multiply-add only where it is written.
NUMBERS = -std=c11 -ffp-contract=off
ROOM = -DSAMPLES=$(SAMPLES) -DTHREADS=$(THREADS) -DUNSTABLE=$(UNSTABLE) \
	-DONLY=ONLY_$(KERNELS)
LIBS = -lm -lpthread

# A minute or two: cats against dogs, 200 built-in images.
QUICK = --loss bmse --samples 200 --lr 0.01 --kick 0.01 --steps 250

BUILD = $(CC) $(NUMBERS) $(ROOM) $(CFLAGS) $(LDFLAGS)

all: eos

eos: eos.c eos.h .build
	$(BUILD) -o eos eos.c $(LIBS)

# Changes when the way to build does, and only then.
.build: always
	@echo '$(BUILD)' | cmp -s - .build || echo '$(BUILD)' > .build

run: eos
	./eos run $(QUICK)

data: always
	data/fetch

bench: eos bench/bench
	bench/bench

bench/bench: bench/bench.c bench/rates.h eos.c eos.h .build
	$(BUILD) -Wno-unused-function -o bench/bench bench/bench.c $(LIBS) -ldl

# The logs of bench/settings.txt, the figures of bench/pictures.txt, the table.
reproduce: eos
	DATA='$(DATA)' TEST='$(TEST)' SCALE='$(SCALE)' bench/reproduce $(ONLY)

figures: always
	SCALE='$(SCALE)' bench/draw

results: always
	bench/collect --into bench/RESULTS.md bench/logs/*.log

# A program for each area, all of eos.c in each but tests/files; they run one
# after another.
# -no-pie: Criterion starts itself anew for each test, at the same addresses.
CHECK = $(BUILD) -Wno-unused-function -Wno-psabi -no-pie
COMMON = eos.c eos.h tests/common.h .build
TESTS = tests/numbers tests/kernels tests/data tests/network \
	tests/derivatives tests/eig tests/golden tests/dynamics tests/run \
	tests/toy tests/cli tests/files tests/input tests/ckpt tests/stats \
	tests/unstable tests/faults

test: eos $(TESTS)
	failed=0; for t in $(TESTS); do $$t || failed=1; done; exit $$failed

tests/numbers: tests/test_numbers.c $(COMMON)
	$(CHECK) -o tests/numbers tests/test_numbers.c -lcriterion $(LIBS)

tests/kernels: tests/test_kernels.c tests/instances.h tests/extra.h $(COMMON)
	$(CHECK) -o tests/kernels tests/test_kernels.c -lcriterion $(LIBS)

tests/data: tests/test_data.c $(COMMON)
	$(CHECK) -o tests/data tests/test_data.c -lcriterion $(LIBS)

tests/network: tests/test_network.c tests/instances.h tests/extra.h $(COMMON)
	$(CHECK) -o tests/network tests/test_network.c -lcriterion $(LIBS)

tests/derivatives: tests/test_derivatives.c $(COMMON)
	$(CHECK) -o tests/derivatives tests/test_derivatives.c -lcriterion $(LIBS)

tests/eig: tests/test_eig.c $(COMMON)
	$(CHECK) -o tests/eig tests/test_eig.c -lcriterion $(LIBS)

tests/golden: tests/test_golden.c tests/vectors.h $(COMMON)
	$(CHECK) -o tests/golden tests/test_golden.c -lcriterion $(LIBS)

tests/dynamics: tests/test_dynamics.c tests/vectors.h tests/table.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/dynamics tests/test_dynamics.c -lcriterion $(LIBS)

tests/run: tests/test_run.c tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/run tests/test_run.c -lcriterion $(LIBS)

tests/toy: tests/test_toy.c tests/logs.h $(COMMON)
	$(CHECK) -o tests/toy tests/test_toy.c -lcriterion $(LIBS)

tests/ckpt: tests/test_ckpt.c tests/faults.h tests/program.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/ckpt tests/test_ckpt.c -lcriterion $(LIBS)

tests/cli: tests/test_cli.c tests/program.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/cli tests/test_cli.c -lcriterion $(LIBS)

tests/files: tests/test_files.c tests/outside.h tests/program.h tests/logs.h tests/small.h eos.h .build
	$(CHECK) -o tests/files tests/test_files.c -lcriterion $(LIBS)

tests/stats: tests/test_stats.c tests/program.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/stats tests/test_stats.c -lcriterion $(LIBS)

tests/unstable: tests/test_unstable.c tests/program.h tests/table.h tests/vectors.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/unstable tests/test_unstable.c -lcriterion $(LIBS)

# Without eos.c: the program alone.
tests/input: tests/test_input.c tests/outside.h tests/program.h tests/logs.h tests/small.h eos.h .build
	$(CHECK) -o tests/input tests/test_input.c -lcriterion $(LIBS)

tests/faults: tests/test_faults.c tests/program.h tests/table.h tests/vectors.h tests/logs.h tests/small.h $(COMMON)
	$(CHECK) -o tests/faults tests/test_faults.c -lcriterion $(LIBS)

# What the static buffers take, the largest first.
size: eos
	@nm -S -t d --size-sort -r eos | awk '$$3 ~ /^[bBdD]$$/ { \
	    all += $$2; \
	    if ($$2 < 100000) { small += $$2; next } \
	    printf "%12d  %s\n", $$2, $$4 } \
	    END { printf "%12d  the smaller ones\n%12d  bytes in all\n", \
	        small, all }'

fuzz: always
	sh tests/fuzz.sh

clean:
	rm -f eos .build bench/bench $(TESTS)

install: eos
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp eos $(DESTDIR)$(PREFIX)/bin/eos

always:

.PHONY: all run data bench reproduce figures results test size fuzz clean \
	install always
