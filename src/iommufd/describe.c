/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The arguments of IOMMUFD's ioctls as text: ids in decimal, addresses and sizes in hexadecimal, under the
 * names that the structures have for them. Runs after the handler: what came in is a copy, and results, if
 * there are any, are behind "->".
 */
#include "iommufd/describe.h"

#include "base/base.h"
#include "uapi/iommufd.h"
#include "uapi/iommufd_test.h"

#include <stdarg.h>
#include <stdio.h>

typedef unsigned long long ull;

struct text {
	char *buf;
	size_t len, n;
	long rc;
};

static void __printf(2, 3) say(struct text *t, const char *fmt, ...)
{
	va_list ap;

	if (t->n >= t->len)
		return;
	va_start(ap, fmt);
	t->n += (size_t)vsnprintf(t->buf + t->n, t->len - t->n, fmt, ap);
	va_end(ap);
}

/* " -> ioas=2", when there is a result. */
#define SAY_RESULT(t, fmt, ...)                                                                              \
	do {                                                                                                 \
		if (!(t)->rc)                                                                                \
			say(t, "%s-> " fmt, (t)->n ? " " : "", __VA_ARGS__);                                 \
	} while (0)

/* " READ|WRITE": names are of the bits from 0 on. Nothing when there are no flags. */
static void say_flags(struct text *t, uint32_t flags, const char *const *names, size_t nr)
{
	const char *between = " ";

	for (size_t i = 0; i < nr; i++) {
		if (!(flags & BIT32(i)))
			continue;
		say(t, "%s%s", between, names[i]);
		flags &= ~BIT32(i);
		between = "|";
	}
	if (flags)
		say(t, "%s0x%x", between, flags);
}

static void say_name(struct text *t, uint32_t nr, const char *const *names, size_t nr_names)
{
	if (nr < nr_names && names[nr])
		say(t, "%s", names[nr]);
	else
		say(t, "0x%x", nr);
}

static void destroy(struct text *t, const void *in, const void *out)
{
	const struct iommu_destroy *cmd = in;

	(void)out;
	say(t, "id=%u", cmd->id);
}

/* ---- IO address spaces */

static void ioas_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_alloc *cmd = in, *out = result;

	if (cmd->flags)
		say(t, "flags=0x%x", cmd->flags);
	SAY_RESULT(t, "ioas=%u", out->out_ioas_id);
}

static void ioas_allow_iovas(struct text *t, const void *in, const void *out)
{
	const struct iommu_ioas_allow_iovas *cmd = in;

	(void)out;
	say(t, "ioas=%u num_iovas=%u", cmd->ioas_id, cmd->num_iovas);
}

static void ioas_iova_ranges(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_iova_ranges *cmd = in, *out = result;

	say(t, "ioas=%u num_iovas=%u", cmd->ioas_id, cmd->num_iovas);
	if (t->rc == -EMSGSIZE) /* tells also how much room there should be */
		t->rc = 0;
	SAY_RESULT(t, "num_iovas=%u alignment=0x%llx", out->num_iovas, (ull)out->out_iova_alignment);
}

static void map_flags(struct text *t, uint32_t flags)
{
	static const char *const names[] = { "FIXED_IOVA", "WRITEABLE", "READABLE" };

	say_flags(t, flags, names, ARRAY_SIZE(names));
}

/* Without FIXED_IOVA it is a result, and no argument. */
static void map_iova(struct text *t, const char *name, uint64_t iova, uint32_t flags)
{
	if (flags & IOMMU_IOAS_MAP_FIXED_IOVA)
		say(t, " %s=0x%llx", name, (ull)iova);
}

static void map_result(struct text *t, const char *name, uint64_t iova, uint32_t flags)
{
	if (!(flags & IOMMU_IOAS_MAP_FIXED_IOVA))
		SAY_RESULT(t, "%s=0x%llx", name, (ull)iova);
}

static void ioas_map(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_map *cmd = in, *out = result;

	say(t, "ioas=%u", cmd->ioas_id);
	map_iova(t, "iova", cmd->iova, cmd->flags);
	say(t, " length=0x%llx user_va=0x%llx", (ull)cmd->length, (ull)cmd->user_va);
	map_flags(t, cmd->flags);
	map_result(t, "iova", out->iova, cmd->flags);
}

static void ioas_map_file(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_map_file *cmd = in, *out = result;

	say(t, "ioas=%u", cmd->ioas_id);
	map_iova(t, "iova", cmd->iova, cmd->flags);
	say(t, " length=0x%llx fd=%d start=0x%llx", (ull)cmd->length, cmd->fd, (ull)cmd->start);
	map_flags(t, cmd->flags);
	map_result(t, "iova", out->iova, cmd->flags);
}

static void ioas_copy(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_copy *cmd = in, *out = result;

	say(t, "dst_ioas=%u", cmd->dst_ioas_id);
	map_iova(t, "dst_iova", cmd->dst_iova, cmd->flags);
	say(t, " src_ioas=%u src_iova=0x%llx length=0x%llx", cmd->src_ioas_id, (ull)cmd->src_iova,
	    (ull)cmd->length);
	map_flags(t, cmd->flags);
	map_result(t, "dst_iova", out->dst_iova, cmd->flags);
}

static void ioas_unmap(struct text *t, const void *in, const void *result)
{
	const struct iommu_ioas_unmap *cmd = in, *out = result;

	say(t, "ioas=%u iova=0x%llx length=0x%llx", cmd->ioas_id, (ull)cmd->iova, (ull)cmd->length);
	SAY_RESULT(t, "unmapped=0x%llx", (ull)out->length);
}

static void option(struct text *t, const void *in, const void *result)
{
	static const char *const options[] = { "RLIMIT_MODE", "HUGE_PAGES" }, *const ops[] = { "SET", "GET" };
	const struct iommu_option *cmd = in, *out = result;

	say_name(t, cmd->op, ops, ARRAY_SIZE(ops));
	say(t, " ");
	say_name(t, cmd->option_id, options, ARRAY_SIZE(options));
	if (cmd->object_id)
		say(t, " object=%u", cmd->object_id);
	if (cmd->op == IOMMU_OPTION_OP_GET)
		SAY_RESULT(t, "val64=%llu", (ull)out->val64);
	else
		say(t, " val64=%llu", (ull)cmd->val64);
}

static void vfio_ioas(struct text *t, const void *in, const void *result)
{
	static const char *const ops[] = { "GET", "SET", "CLEAR" };
	const struct iommu_vfio_ioas *cmd = in, *out = result;

	say_name(t, cmd->op, ops, ARRAY_SIZE(ops));
	if (cmd->op == IOMMU_VFIO_IOAS_GET)
		SAY_RESULT(t, "ioas=%u", out->ioas_id);
	else if (cmd->op != IOMMU_VFIO_IOAS_CLEAR)
		say(t, " ioas=%u", cmd->ioas_id);
}

/* ---- devices and hardware page tables */

static void get_hw_info(struct text *t, const void *in, const void *result)
{
	static const char *const flags[] = { "INPUT_TYPE" };
	const struct iommu_hw_info *cmd = in, *out = result;

	say(t, "dev=%u data_len=%u", cmd->dev_id, cmd->data_len);
	say_flags(t, cmd->flags, flags, ARRAY_SIZE(flags));
	SAY_RESULT(t, "data_type=%u data_len=%u capabilities=0x%llx", out->out_data_type, out->data_len,
		   (ull)out->out_capabilities);
	if (!t->rc && out->out_max_pasid_log2)
		say(t, " max_pasid_log2=%u", out->out_max_pasid_log2);
}

static void hwpt_alloc(struct text *t, const void *in, const void *result)
{
	static const char *const flags[] = { "NEST_PARENT", "DIRTY_TRACKING", "FAULT_ID_VALID", "PASID" };
	const struct iommu_hwpt_alloc *cmd = in, *out = result;

	say(t, "dev=%u pt=%u", cmd->dev_id, cmd->pt_id);
	say_flags(t, cmd->flags, flags, ARRAY_SIZE(flags));
	if (cmd->data_type || cmd->data_len)
		say(t, " data_type=%u data_len=%u", cmd->data_type, cmd->data_len);
	if (cmd->flags & IOMMU_HWPT_FAULT_ID_VALID)
		say(t, " fault=%u", cmd->fault_id);
	SAY_RESULT(t, "hwpt=%u", out->out_hwpt_id);
}

static void hwpt_set_dirty_tracking(struct text *t, const void *in, const void *out)
{
	static const char *const flags[] = { "ENABLE" };
	const struct iommu_hwpt_set_dirty_tracking *cmd = in;

	(void)out;
	say(t, "hwpt=%u", cmd->hwpt_id);
	say_flags(t, cmd->flags, flags, ARRAY_SIZE(flags));
}

static void hwpt_get_dirty_bitmap(struct text *t, const void *in, const void *out)
{
	static const char *const flags[] = { "NO_CLEAR" };
	const struct iommu_hwpt_get_dirty_bitmap *cmd = in;

	(void)out;
	say(t, "hwpt=%u iova=0x%llx length=0x%llx page_size=0x%llx", cmd->hwpt_id, (ull)cmd->iova,
	    (ull)cmd->length, (ull)cmd->page_size);
	say_flags(t, cmd->flags, flags, ARRAY_SIZE(flags));
}

static void hwpt_invalidate(struct text *t, const void *in, const void *result)
{
	const struct iommu_hwpt_invalidate *cmd = in, *out = result;

	say(t, "hwpt=%u data_type=%u entry_len=%u entry_num=%u", cmd->hwpt_id, cmd->data_type, cmd->entry_len,
	    cmd->entry_num);
	say(t, " -> entry_num=%u", out->entry_num); /* also when it fails */
}

/* ---- events and vIOMMUs */

static void fault_queue_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_fault_alloc *cmd = in, *out = result;

	if (cmd->flags)
		say(t, "flags=0x%x", cmd->flags);
	SAY_RESULT(t, "fault=%u fd=%d", out->out_fault_id, (int)out->out_fault_fd);
}

static void viommu_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_viommu_alloc *cmd = in, *out = result;

	say(t, "type=%u dev=%u hwpt=%u", cmd->type, cmd->dev_id, cmd->hwpt_id);
	say_flags(t, cmd->flags, NULL, 0);
	SAY_RESULT(t, "viommu=%u", out->out_viommu_id);
}

static void vdevice_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_vdevice_alloc *cmd = in, *out = result;

	say(t, "viommu=%u dev=%u virt_id=0x%llx", cmd->viommu_id, cmd->dev_id, (ull)cmd->virt_id);
	SAY_RESULT(t, "vdevice=%u", out->out_vdevice_id);
}

static void veventq_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_veventq_alloc *cmd = in, *out = result;

	say(t, "viommu=%u type=%u depth=%u", cmd->viommu_id, cmd->type, cmd->veventq_depth);
	say_flags(t, cmd->flags, NULL, 0);
	SAY_RESULT(t, "veventq=%u fd=%d", out->out_veventq_id, (int)out->out_veventq_fd);
}

static void hw_queue_alloc(struct text *t, const void *in, const void *result)
{
	const struct iommu_hw_queue_alloc *cmd = in, *out = result;

	say(t, "viommu=%u type=%u index=%u iova=0x%llx length=0x%llx", cmd->viommu_id, cmd->type, cmd->index,
	    (ull)cmd->nesting_parent_iova, (ull)cmd->length);
	say_flags(t, cmd->flags, NULL, 0);
	SAY_RESULT(t, "hw_queue=%u", out->out_hw_queue_id);
}

/* Its many operations have little in common. */
static void test_cmd(struct text *t, const void *in, const void *out)
{
	static const char *const ops[] = {
		[IOMMU_TEST_OP_ADD_RESERVED] = "ADD_RESERVED",
		[IOMMU_TEST_OP_MOCK_DOMAIN] = "MOCK_DOMAIN",
		[IOMMU_TEST_OP_MD_CHECK_MAP] = "MD_CHECK_MAP",
		[IOMMU_TEST_OP_MD_CHECK_REFS] = "MD_CHECK_REFS",
		[IOMMU_TEST_OP_CREATE_ACCESS] = "CREATE_ACCESS",
		[IOMMU_TEST_OP_DESTROY_ACCESS_PAGES] = "DESTROY_ACCESS_PAGES",
		[IOMMU_TEST_OP_ACCESS_PAGES] = "ACCESS_PAGES",
		[IOMMU_TEST_OP_ACCESS_RW] = "ACCESS_RW",
		[IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT] = "SET_TEMP_MEMORY_LIMIT",
		[IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE] = "MOCK_DOMAIN_REPLACE",
		[IOMMU_TEST_OP_ACCESS_REPLACE_IOAS] = "ACCESS_REPLACE_IOAS",
		[IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS] = "MOCK_DOMAIN_FLAGS",
		[IOMMU_TEST_OP_DIRTY] = "DIRTY",
		[IOMMU_TEST_OP_MD_CHECK_IOTLB] = "MD_CHECK_IOTLB",
		[IOMMU_TEST_OP_TRIGGER_IOPF] = "TRIGGER_IOPF",
		[IOMMU_TEST_OP_DEV_CHECK_CACHE] = "DEV_CHECK_CACHE",
		[IOMMU_TEST_OP_TRIGGER_VEVENT] = "TRIGGER_VEVENT",
		[IOMMU_TEST_OP_PASID_ATTACH] = "PASID_ATTACH",
		[IOMMU_TEST_OP_PASID_REPLACE] = "PASID_REPLACE",
		[IOMMU_TEST_OP_PASID_DETACH] = "PASID_DETACH",
		[IOMMU_TEST_OP_PASID_CHECK_HWPT] = "PASID_CHECK_HWPT",
		[IOMMU_TEST_OP_DMABUF_GET] = "DMABUF_GET",
		[IOMMU_TEST_OP_DMABUF_REVOKE] = "DMABUF_REVOKE",
	};
	const struct iommu_test_cmd *cmd = in;

	(void)out;
	say_name(t, cmd->op, ops, ARRAY_SIZE(ops));
	say(t, " id=%u", cmd->id);
}

static void (*const describe[])(struct text *t, const void *in, const void *out) = {
	[IOMMUFD_CMD_DESTROY - IOMMUFD_CMD_BASE] = destroy,
	[IOMMUFD_CMD_IOAS_ALLOC - IOMMUFD_CMD_BASE] = ioas_alloc,
	[IOMMUFD_CMD_IOAS_ALLOW_IOVAS - IOMMUFD_CMD_BASE] = ioas_allow_iovas,
	[IOMMUFD_CMD_IOAS_COPY - IOMMUFD_CMD_BASE] = ioas_copy,
	[IOMMUFD_CMD_IOAS_IOVA_RANGES - IOMMUFD_CMD_BASE] = ioas_iova_ranges,
	[IOMMUFD_CMD_IOAS_MAP - IOMMUFD_CMD_BASE] = ioas_map,
	[IOMMUFD_CMD_IOAS_UNMAP - IOMMUFD_CMD_BASE] = ioas_unmap,
	[IOMMUFD_CMD_OPTION - IOMMUFD_CMD_BASE] = option,
	[IOMMUFD_CMD_VFIO_IOAS - IOMMUFD_CMD_BASE] = vfio_ioas,
	[IOMMUFD_CMD_HWPT_ALLOC - IOMMUFD_CMD_BASE] = hwpt_alloc,
	[IOMMUFD_CMD_GET_HW_INFO - IOMMUFD_CMD_BASE] = get_hw_info,
	[IOMMUFD_CMD_HWPT_SET_DIRTY_TRACKING - IOMMUFD_CMD_BASE] = hwpt_set_dirty_tracking,
	[IOMMUFD_CMD_HWPT_GET_DIRTY_BITMAP - IOMMUFD_CMD_BASE] = hwpt_get_dirty_bitmap,
	[IOMMUFD_CMD_HWPT_INVALIDATE - IOMMUFD_CMD_BASE] = hwpt_invalidate,
	[IOMMUFD_CMD_FAULT_QUEUE_ALLOC - IOMMUFD_CMD_BASE] = fault_queue_alloc,
	[IOMMUFD_CMD_IOAS_MAP_FILE - IOMMUFD_CMD_BASE] = ioas_map_file,
	[IOMMUFD_CMD_VIOMMU_ALLOC - IOMMUFD_CMD_BASE] = viommu_alloc,
	[IOMMUFD_CMD_VDEVICE_ALLOC - IOMMUFD_CMD_BASE] = vdevice_alloc,
	[IOMMUFD_CMD_VEVENTQ_ALLOC - IOMMUFD_CMD_BASE] = veventq_alloc,
	[IOMMUFD_CMD_HW_QUEUE_ALLOC - IOMMUFD_CMD_BASE] = hw_queue_alloc,
	[_IOC_NR(IOMMU_TEST_CMD) - IOMMUFD_CMD_BASE] = test_cmd,
};

void iommufd_describe(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	struct text t = { buf, len, 0, call->rc };
	unsigned int nr = _IOC_NR(call->row->cmd) - IOMMUFD_CMD_BASE;

	*buf = '\0';
	if (nr < ARRAY_SIZE(describe) && describe[nr])
		describe[nr](&t, call->in, arg);
}
