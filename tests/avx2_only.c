/* Makes a CPU look as if it had neither AVX-512 nor VNNI nor AMX: libraries then choose the kernels of an AVX2 machine.
 *
 * ONNX Runtime has no switch for that. Preloaded into a program (LD_PRELOAD, which its children inherit), this has the
 * kernel stop every `cpuid` instruction, runs it, and takes the features away from its answer. It needs a CPU that can
 * stop `cpuid` (Intel since 2012, in /proc/cpuinfo as cpuid_fault); without one the program ends at once.
 */
#define _GNU_SOURCE
#include <asm/prctl.h>
#include <cpuid.h>
#include <dlfcn.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define BIT(number) (1u << (number))

static void end(const char *message, int code) {
  if (write(STDERR_FILENO, message, strlen(message)) < 0) code = 70;
  _exit(code);
}

static int allow_cpuid(int allowed) { return (int)syscall(SYS_arch_prctl, ARCH_SET_CPUID, allowed); }

static void on_fault(int number, siginfo_t *info, void *context) {
  (void)number;
  greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
  const unsigned char *code = (const unsigned char *)registers[REG_RIP];
  if (info->si_code != SI_KERNEL || code[0] != 0x0f || code[1] != 0xa2)
    end("avx2_only: a segmentation fault\n", 128 + SIGSEGV);
  unsigned leaf = (unsigned)registers[REG_RAX], part = (unsigned)registers[REG_RCX], a, b, c, d;
  allow_cpuid(1);
  __cpuid_count(leaf, part, a, b, c, d);
  allow_cpuid(0);
  if (leaf == 7 && part == 0) { /* AVX-512 in all registers, AMX in the last */
    b &= ~(BIT(16) | BIT(17) | BIT(21) | BIT(26) | BIT(27) | BIT(28) | BIT(30) | BIT(31));
    c &= ~(BIT(1) | BIT(6) | BIT(11) | BIT(12) | BIT(14));
    d &= ~(BIT(2) | BIT(3) | BIT(8) | BIT(22) | BIT(23) | BIT(24) | BIT(25));
  } else if (leaf == 7 && part == 1) { /* the VNNI of 256 bits, AVX-512 in bfloat16, AVX10 */
    a &= ~(BIT(4) | BIT(5) | BIT(21) | BIT(23));
    d &= ~(BIT(4) | BIT(5) | BIT(10) | BIT(19));
  }
  registers[REG_RAX] = a;
  registers[REG_RBX] = b;
  registers[REG_RCX] = c;
  registers[REG_RDX] = d;
  registers[REG_RIP] += 2;
}

/* Nobody may take SIGSEGV away, or block it: pytest's and Triton's own handlers of crashes would. */
int sigaction(int number, const struct sigaction *action, struct sigaction *old) {
  int (*real)(int, const struct sigaction *, struct sigaction *) = dlsym(RTLD_NEXT, "sigaction");
  return real(number, number == SIGSEGV && action && action->sa_sigaction != on_fault ? NULL : action, old);
}

void (*signal(int number, void (*handler)(int)))(int) {
  void (*(*real)(int, void (*)(int)))(int) = dlsym(RTLD_NEXT, "signal");
  return number == SIGSEGV ? SIG_DFL : real(number, handler);
}

int pthread_sigmask(int how, const sigset_t *set, sigset_t *old) {
  int (*real)(int, const sigset_t *, sigset_t *) = dlsym(RTLD_NEXT, "pthread_sigmask");
  sigset_t open;
  if (set && how != SIG_UNBLOCK) {
    open = *set;
    sigdelset(&open, SIGSEGV);
    set = &open;
  }
  return real(how, set, old);
}

__attribute__((constructor)) static void start(void) {
  struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
  if (sigaction(SIGSEGV, &action, NULL) || allow_cpuid(0)) end("avx2_only: this CPU cannot stop cpuid\n", 70);
}
