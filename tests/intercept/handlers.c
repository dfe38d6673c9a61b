/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Signal handlers that make the very calls that they interrupt. On Linux that is allowed, and some clients
 * live on it. What goes wrong is a deadlock.
 */
#include "client.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <time.h>

#define HANDLER_IOVA (1u << 20)
#define DEEPEST      4
#define MAIN_IOVA    (2u << 20)

static struct client c;
static off_t config;
static volatile char *regs;
static char memory[4096] __attribute__((aligned(4096)));
static volatile int action;
static volatile unsigned long ticks;
static volatile unsigned int nested; /* handlers that have not returned */

static void config_write(uint64_t iova)
{
	uint8_t line = 0;

	(void)iova;
	CHECK(pwrite(c.device, &line, 1, config + 0x3c) == 1 &&
	      pread(c.device, &line, 1, config + 0x3c) == 1);
}

static void group_status(uint64_t iova)
{
	struct vfio_group_status status = { .argsz = sizeof(status) };

	(void)iova;
	CHECK(!ioctl(c.group, VFIO_GROUP_GET_STATUS, &status) && status.flags == 3);
}

static void dma(uint64_t iova)
{
	CHECK(!client_map(c.container, memory, iova, sizeof(memory)));
	CHECK(client_unmap(c.container, iova, sizeof(memory)) == sizeof(memory));
}

static void interrupt(uint64_t iova)
{
	struct vfio_irq_set fire = { .argsz = sizeof(fire),
				     .flags = VFIO_IRQ_SET_DATA_NONE | VFIO_IRQ_SET_ACTION_TRIGGER,
				     .index = VFIO_PCI_REQ_IRQ_INDEX,
				     .count = 1 };

	(void)iova;
	CHECK(!ioctl(c.device, VFIO_DEVICE_SET_IRQS, &fire));
}

static void node(uint64_t iova)
{
	int fd = open("/dev/vfio/vfio", O_RDWR), copy = dup(fd);

	(void)iova;
	CHECK(fd >= 0 && copy >= 0 && !close(fd) && !close(copy));
}

static void mapping(uint64_t iova)
{
	void *p = mmap(NULL, 4096, PROT_READ, MAP_SHARED, c.device, 0);

	(void)iova;
	CHECK(p != MAP_FAILED && !mprotect(p, 4096, PROT_READ | PROT_WRITE) && !munmap(p, 4096));
}

static void register_read(uint64_t iova)
{
	(void)iova;
	CHECK(*(volatile uint32_t *)(volatile void *)(regs + 8) == 0x10400);
}

/* Only the program forks: fork() in a handler is not for a program with threads, and ours have some. */
static void nothing_child(void *arg)
{
	(void)arg;
}

static void (*const actions[])(uint64_t iova) = {
	config_write, group_status, dma, interrupt, node, mapping, register_read,
};

#define ACTIONS ((int)(sizeof(actions) / sizeof(actions[0])))

static void tick(int sig)
{
	int saved = errno;

	(void)sig;
	if (nested < DEEPEST) { /* on a slow machine the next tick comes before this one is over */
		actions[action](HANDLER_IOVA + 4096 * (uint64_t)nested++);
		nested--;
	}
	ticks++;
	errno = saved;
}

static void with_info(int sig, siginfo_t *info, void *context)
{
	(void)context;
	CHECK(sig == SIGRTMIN && info->si_code == SI_TIMER && info->si_value.sival_int == 4711);
	tick(sig);
}

static double now(void)
{
	struct timespec ts;

	CHECK(!clock_gettime(CLOCK_MONOTONIC, &ts));
	return (double)ts.tv_sec + (double)ts.tv_nsec * 1e-9;
}

/* Each action in the handler while the program does the same, maps for DMA, and forks. */
static void interrupted_by(int sig)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL,
				  .sigev_signo = sig,
				  .sigev_value.sival_int = 4711 };
	struct itimerspec every = { { 0, 50000 }, { 0, 50000 } }, never = { { 0, 0 }, { 0, 0 } };
	timer_t timer;

	CHECK(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	for (int i = 0; i < ACTIONS; i++) {
		double end = now() + 0.05;

		action = i;
		ticks = 0;
		CHECK(!timer_settime(timer, 0, &every, NULL));
		for (unsigned int n = 0; now() < end || ticks < 10; n++)
			if (n % 64 == 63)
				in_child(nothing_child, NULL);
			else
				actions[n & 1 ? 2 : i](MAIN_IOVA);
		CHECK(!timer_settime(timer, 0, &never, NULL));
	}
	CHECK(!timer_delete(timer));
}

/* What was set is what is shown, and a mask is as it was when the signals are over. */
static void as_set(void)
{
	struct sigaction sa = { .sa_handler = tick }, old;
	sigset_t mask;

	CHECK(!sigaction(SIGUSR1, &sa, &old) && old.sa_handler == SIG_DFL);
	CHECK(!sigaction(SIGUSR1, NULL, &old) && old.sa_handler == tick && !(old.sa_flags & SA_SIGINFO));
	CHECK(signal(SIGUSR1, SIG_IGN) == tick && signal(SIGUSR1, tick) == SIG_IGN);
	sa.sa_handler = SIG_DFL;
	CHECK(!sigaction(SIGUSR1, &sa, &old) && old.sa_handler == tick);
	CHECK(signal(SIGUSR1, SIG_DFL) == SIG_DFL);
	FAILS(sigaction(SIGKILL, &sa, NULL), EINVAL);
	CHECK(!sigprocmask(SIG_SETMASK, NULL, &mask));
	for (int sig = 1; sig < NSIG; sig++)
		CHECK(sigismember(&mask, sig) <= 0);
}

static volatile bool wrong_handler;

static void note_child(int sig)
{
	(void)sig;
	wrong_handler = true;
}

/* A child of vfork() has its own handlers. */
static void vfork_child(void)
{
	struct sigaction sa = { .sa_handler = tick }, other = { .sa_handler = note_child };
	int status;
	pid_t pid;

	CHECK(!sigaction(SIGUSR2, &sa, NULL));
	action = 1;
	pid = vfork();
	if (!pid) {
		sigaction(SIGUSR2, &other, NULL);
		signal(SIGSEGV, note_child);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	CHECK(!sigaction(SIGSEGV, NULL, &sa) && sa.sa_handler == SIG_DFL);
	ticks = 0;
	raise(SIGUSR2);
	CHECK(ticks == 1 && !wrong_handler);
}

int main(void)
{
	struct sigaction plain = { .sa_handler = tick, .sa_flags = SA_RESTART };
	struct sigaction info = { .sa_sigaction = with_info,
				  .sa_flags = SA_RESTART | SA_SIGINFO | SA_NODEFER };
	struct {
		struct vfio_irq_set set;
		int fd;
	} irq = { .set = { .argsz = sizeof(irq),
			   .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			   .index = VFIO_PCI_REQ_IRQ_INDEX,
			   .count = 1 } };
	void *p;

	as_set();
	c = client_open();
	config = (off_t)client_config(c.device);
	irq.fd = eventfd(0, EFD_NONBLOCK);
	CHECK(irq.fd >= 0 && !ioctl(c.device, VFIO_DEVICE_SET_IRQS, &irq));
	p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c.device, 0);
	CHECK(p != MAP_FAILED);
	regs = p;
	vfork_child();
	CHECK(!sigaction(SIGALRM, &plain, NULL));
	interrupted_by(SIGALRM);
	CHECK(!sigaction(SIGRTMIN, &info, NULL));
	interrupted_by(SIGRTMIN);
	as_set();
	return 0;
}
