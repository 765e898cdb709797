/* measure.c - measure MILLISECONDS KILOBYTES COMMAND...: runs the command and exits as it does,
 * unless it took more processor time, or more memory (the largest resident set): then prints that
 * and exits with 120. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static double milliseconds(struct timeval t)
{
	return 1e3 * (double)t.tv_sec + 1e-3 * (double)t.tv_usec;
}

int main(int argc, char **argv)
{
	struct rusage use;
	int status;
	if (argc < 4)
		return 121;
	pid_t pid = vfork();
	if (pid == 0) {
		execvp(argv[3], argv + 3);
		_exit(122);
	}
	if (pid < 0 || wait4(pid, &status, 0, &use) != pid)
		return 121;
	double time = milliseconds(use.ru_utime) + milliseconds(use.ru_stime);
	if (time > atof(argv[1]) || use.ru_maxrss > atol(argv[2])) {
		fprintf(stderr, "measure: %.1f ms, %ld KB\n", time, use.ru_maxrss);
		return 120;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
