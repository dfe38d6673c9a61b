/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands to a machine as lines of text: see machine.h. */
#include "machine/machine.h"

#include <stdlib.h>
#include <string.h>

static int list(struct uvfio_machine *machine, const char *what, FILE *out, char *err, size_t err_len)
{
	int rc = machine_list(machine, what, out);

	if (rc == -EINVAL)
		snprintf(err, err_len, "%s: cannot be listed", what);
	else if (rc)
		snprintf(err, err_len, "out of memory");
	return rc;
}

int machine_control(struct uvfio_machine *machine, const char *command,
		    void (*removed)(void *arg, const char *bdf), void *arg, FILE *out, char *err,
		    size_t err_len)
{
	size_t len = strcspn(command, " ");
	const char *rest = command + len + (command[len] == ' ');
	char verb[16];

	snprintf(verb, sizeof(verb), "%.*s", (int)MIN(len, sizeof(verb)), command);
	if (!strcmp(verb, "list"))
		return list(machine, rest, out, err, err_len);
	if (!strcmp(verb, "add"))
		return machine_add_device(machine, rest, NULL, err, err_len);
	if (!strcmp(verb, "remove"))
		return machine_remove_device(machine, rest, false, removed, arg, err, err_len);
	if (!strcmp(verb, "pull"))
		return machine_remove_device(machine, rest, true, removed, arg, err, err_len);
	if (!strcmp(verb, "reset"))
		return machine_reset_device(machine, rest, err, err_len);
	if (!strcmp(verb, "error"))
		return machine_raise_error(machine, rest, err, err_len);
	snprintf(err, err_len, "there is no command %s", verb);
	return -EINVAL;
}
