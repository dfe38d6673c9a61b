/* SPDX-License-Identifier: BSD-2-Clause */
/* Models with mistakes, and the built-in ones, which have none. */
#include "devices/models.h"
#include "machine/plugin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

struct opts {
	uint64_t level;
};

static const struct uvfio_option level = { .key = "level", .type = UVFIO_OPTION_UINT, .help = "how much" };
static struct uvfio_option options[3];

static uint64_t read_reg(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, unsigned int size)
{
	(void)func, (void)bar, (void)size;
	return offset;
}

static void write_reg(struct uvfio_pci_func *func, unsigned int bar, uint64_t offset, uint64_t value,
		      unsigned int size)
{
	(void)func, (void)bar, (void)offset, (void)value, (void)size;
}

static void reset(struct uvfio_pci_func *func)
{
	(void)func;
}

static int create(struct uvfio_pci_func *func, struct uvfio_pci_desc *desc, char *err, size_t err_len)
{
	(void)func, (void)desc, (void)err, (void)err_len;
	return 0;
}

/* A good one. */
static struct uvfio_pci_model model_with_options(void)
{
	memset(options, 0, sizeof(options));
	options[0] = level;
	return (struct uvfio_pci_model){
		.name = "plain",
		.summary = "does nothing",
		.options = options,
		.options_size = sizeof(struct opts),
		.desc = { .vendor = 0x1234 },
		.ops = { .read = read_reg, .write = write_reg, .reset = reset },
	};
}

static void expect(const struct uvfio_pci_model *model, const char *message)
{
	char err[512] = "";

	assert_int_equal(model_check(model, err, sizeof(err)), message ? -EINVAL : 0);
	assert_string_equal(err, message ? message : "");
}

static void test_built_in(void **state)
{
	(void)state;
	for (const struct uvfio_pci_model *const *model = builtin_models; *model; model++)
		expect(*model, NULL);
}

static void test_what_every_model_has(void **state)
{
	struct uvfio_pci_model model = model_with_options();

	(void)state;
	expect(&model, NULL);
	expect(NULL, "its entry names no model: write UVFIO_PCI_PLUGIN(model)");
	model.name = "";
	expect(&model, "its model has no name: give one line");
	model = model_with_options();
	model.summary = "does\nnothing";
	expect(&model, "its model has a line break in its summary: give one line");
	model = model_with_options();
	model.ops.write = NULL;
	expect(&model, "its model has no callback write: every model has read, write and reset");
}

static void test_options(void **state)
{
	struct uvfio_pci_model model = model_with_options();

	(void)state;
	options[0].key = "group";
	expect(&model, "option group is one that every device has: rename it");
	options[0].key = "level";
	options[0].preset = "much";
	expect(&model, "preset: level=much is not possible: use a number");
	options[0].preset = NULL;
	model.options_size = 4;
	expect(&model,
	       "option level lies outside the model's options: it has 8 bytes at 0, and options_size is 4");
	model.options = NULL;
	expect(&model, NULL);
}

/* What create may add is not missed before. */
static void test_description(void **state)
{
	struct uvfio_pci_model model = model_with_options();

	(void)state;
	model.desc.vendor = 0;
	expect(&model,
	       "vendor is 0x0000, which nobody has: give the id of the device's maker, for example .vendor "
	       "= 0x1234");
	model.ops.create = create;
	expect(&model, NULL);
	model.desc.intx = 5;
	expect(&model, "intx is 5: use 0 for none, or 1 to 4 for INTA to INTD");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_built_in),
		cmocka_unit_test(test_what_every_model_has),
		cmocka_unit_test(test_options),
		cmocka_unit_test(test_description),
	};

	return cmocka_run_group_tests_name("plugin_check", tests, NULL, NULL);
}
