/* SPDX-License-Identifier: BSD-2-Clause */
/* The fake IOMMU, and short names for what the tests do. */
#include "iommufd/test_bench.h"

#include <unistd.h>

_Atomic int fake_domains, fake_fail_map;

static struct fake_domain *to_fake(struct iommufd_domain *domain)
{
	return container_of(domain, struct fake_domain, base);
}

static struct fake_dev *to_dev(struct iommufd_hw_dev *hw)
{
	return container_of(hw, struct fake_dev, hw);
}

/* ---- domains */

static int fake_map(struct iommufd_domain *domain, uint64_t iova, uint64_t size, struct mm *mm, uint64_t va,
		    unsigned int prot)
{
	assert_true(is_aligned(iova, domain->pgsize) && is_aligned(size, domain->pgsize));
	assert_non_null(mm);
	assert_true(va && prot);
	if (atomic_exchange(&fake_fail_map, 0))
		return -ENOMEM;
	atomic_fetch_add(&to_fake(domain)->mapped, size);
	return 0;
}

static void fake_unmap(struct iommufd_domain *domain, uint64_t iova, uint64_t size)
{
	(void)iova;
	atomic_fetch_sub(&to_fake(domain)->mapped, size);
}

static void fake_batch(struct iommufd_domain *domain)
{
	(void)domain;
}

static int fake_set_dirty_tracking(struct iommufd_domain *domain, bool on)
{
	to_fake(domain)->tracking = on;
	return 0;
}

static int fake_read_dirty(struct iommufd_domain *domain, uint64_t iova, uint64_t size, bool keep,
			   void (*fn)(void *arg, uint64_t iova, uint64_t size), void *arg)
{
	struct fake_domain *fake = to_fake(domain);
	uint64_t from = MAX(iova, fake->dirty_at), end = MIN(iova + size, fake->dirty_at + fake->dirty_size);

	if (from >= end)
		return 0;
	if (fn)
		fn(arg, from, end - from);
	if (!keep)
		fake->dirty_size = 0;
	return 0;
}

static void fake_free(struct iommufd_domain *domain)
{
	assert_int_equal(to_fake(domain)->mapped, 0);
	atomic_fetch_sub(&fake_domains, 1);
	free(to_fake(domain));
}

static int fake_invalidate(struct iommufd_domain *domain, struct iommufd_user_array *array)
{
	uint32_t nr = array->entry_num;
	struct fake_data entry;
	int rc = 0;

	(void)domain;
	for (uint32_t i = 0; i < nr; i++) {
		rc = iommufd_copy_user_array(&entry, array, i, FAKE_DATA, sizeof(entry), 4);
		if (!rc && entry.fail)
			rc = -EIO;
		if (rc) {
			array->entry_num = i;
			break;
		}
	}
	return rc;
}

static const struct iommufd_domain_ops plain_ops = {
	.map = fake_map,
	.unmap = fake_unmap,
	.unmap_begin = fake_batch,
	.unmap_end = fake_batch,
	.free = fake_free,
};

static const struct iommufd_domain_ops tracked_ops = {
	.map = fake_map,
	.unmap = fake_unmap,
	.unmap_begin = fake_batch,
	.unmap_end = fake_batch,
	.set_dirty_tracking = fake_set_dirty_tracking,
	.read_dirty = fake_read_dirty,
	.free = fake_free,
};

static const struct iommufd_domain_ops nested_ops = {
	.cache_invalidate = fake_invalidate,
	.free = fake_free,
};

static const struct iommufd_domain_ops nested_quiet_ops = {
	.free = fake_free,
};

static struct fake_domain *domain_new(const struct iommufd_domain_ops *ops, bool nested)
{
	struct fake_domain *fake = iommufd_zalloc(sizeof(*fake));

	if (!fake)
		return NULL;
	fake->base = (struct iommufd_domain){
		.ops = ops, .nested = nested, .pgsize = nested ? 0 : PG, .aperture_last = BIT64(48) - 1
	};
	atomic_fetch_add(&fake_domains, 1);
	return fake;
}

/* ---- devices */

static int fake_alloc_paging(struct iommufd_hw_dev *hw, uint32_t flags, const struct iommufd_user_data *data,
			     struct iommufd_domain **domain)
{
	bool tracked = flags & IOMMU_HWPT_ALLOC_DIRTY_TRACKING;
	struct fake_domain *fake;

	(void)hw;
	assert_false(flags & IOMMU_HWPT_FAULT_ID_VALID);
	if (data)
		return -EOPNOTSUPP;
	fake = domain_new(tracked ? &tracked_ops : &plain_ops, false);
	if (!fake)
		return -ENOMEM;
	*domain = &fake->base;
	return 0;
}

static int fake_alloc_nested(struct iommufd_hw_dev *hw, struct iommufd_domain *parent, uint32_t flags,
			     const struct iommufd_user_data *data, struct iommufd_domain **domain)
{
	struct fake_data user;
	struct fake_domain *fake;
	int rc = iommufd_copy_user_data(&user, data, FAKE_DATA, sizeof(user), 4);

	(void)hw;
	(void)flags;
	if (rc)
		return rc;
	fake = domain_new(user.fail ? &nested_quiet_ops : &nested_ops, true);
	if (!fake)
		return -ENOMEM;
	fake->parent = parent;
	fake->data = user.value;
	*domain = &fake->base;
	return 0;
}

static int fake_attach(struct iommufd_hw_dev *hw, uint32_t pasid, struct iommufd_domain *domain,
		       struct iommufd_domain *old)
{
	struct fake_dev *dev = to_dev(hw);
	int rc;

	assert_ptr_equal(dev->now[pasid], old);
	if (domain && domain == dev->refuses)
		return -EINVAL;
	rc = domain ? dev->fail_attach : 0;
	if (domain)
		dev->fail_attach = 0;
	if (!rc)
		dev->now[pasid] = domain;
	return rc;
}

static unsigned int fake_reserved(struct iommufd_hw_dev *hw, struct iommu_range *out, unsigned int max)
{
	if (!to_dev(hw)->window.last)
		return 0;
	if (max)
		*out = to_dev(hw)->window;
	return 1;
}

static int fake_hw_info(struct iommufd_hw_dev *hw, uint32_t *type, void *buf, size_t *len)
{
	(void)hw;
	if (*type != IOMMU_HW_INFO_TYPE_DEFAULT && *type != FAKE_DATA)
		return -EOPNOTSUPP;
	*type = FAKE_DATA;
	memcpy(buf, "abcdefgh", 8);
	*len = 8;
	return 0;
}

static const struct iommufd_hw_dev_ops fake_ops = {
	.name = "fake",
	.alloc_paging = fake_alloc_paging,
	.alloc_nested = fake_alloc_nested,
	.attach = fake_attach,
	.hw_info = fake_hw_info,
	.reserved = fake_reserved,
};

/* The same hardware from another maker. */
static const struct iommufd_hw_dev_ops foreign_ops = {
	.name = "foreign",
	.alloc_paging = fake_alloc_paging,
	.attach = fake_attach,
	.reserved = fake_reserved,
};

/* ---- the bench */

int bench_setup(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d" };
	struct bench *b = calloc(1, sizeof(*b));

	assert_non_null(b);
	if (!self_caller.mm)
		self_caller.mm = mm_self();
	iommu_params_default(&b->params);
	for (unsigned int i = 0; i < 3; i++)
		iommu_group_init(&b->groups[i], i);
	for (int i = 0; i < NR_DEVS; i++)
		b->devs[i].hw = (struct iommufd_hw_dev){
			.ops = i == C ? &foreign_ops : &fake_ops,
			.group = &b->groups[i == A || i == B ? 0 : i - 1],
			.name = names[i],
			.dirty_tracking = i != C,
			.max_pasid_log2 = i == D ? PASID_BITS : 0,
		};
	assert_int_equal(iommufd_open(&b->params, false, O_RDWR, &b->file), 0);
	assert_int_equal(iommufd_open(&b->params, false, O_RDWR, &b->other_file), 0);
	b->ctx = b->file->priv;
	b->other = b->other_file->priv;
	b->memory = mmap(NULL, MEM_PAGES * PG, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	b->va = (uint64_t)(uintptr_t)b->memory;
	*state = b;
	return 0;
}

int bench_teardown(void **state)
{
	struct bench *b = *state;

	file_put(b->file);
	file_put(b->other_file);
	assert_int_equal(fake_domains, 0);
	for (int i = 0; i < NR_DEVS; i++)
		for (int pasid = 0; pasid < NR_PASIDS; pasid++)
			assert_null(b->devs[i].now[pasid]);
	for (unsigned int i = 0; i < 3; i++) {
		assert_int_equal(b->groups[i].owner_count, 0);
		iommu_group_destroy(&b->groups[i]);
	}
	munmap(b->memory, MEM_PAGES * PG);
	free(b);
	return 0;
}

/* ---- ioctls */

long call(struct bench *b, uint32_t cmd, void *arg)
{
	return file_ioctl(b->file, &self_caller, cmd, (uint64_t)(uintptr_t)arg);
}

uint32_t ioas_new(struct bench *b)
{
	struct iommu_ioas_alloc cmd = { .size = sizeof(cmd) };

	assert_int_equal(call(b, IOMMU_IOAS_ALLOC, &cmd), 0);
	return cmd.out_ioas_id;
}

long destroy(struct bench *b, uint32_t id)
{
	struct iommu_destroy cmd = { .size = sizeof(cmd), .id = id };

	return call(b, IOMMU_DESTROY, &cmd);
}

long hwpt_new(struct bench *b, int dev, uint32_t on, uint32_t flags)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd), .flags = flags, .dev_id = b->devs[dev].id, .pt_id = on
	};
	long rc = call(b, IOMMU_HWPT_ALLOC, &cmd);

	return rc ? rc : cmd.out_hwpt_id;
}

long nested_new(struct bench *b, int dev, uint32_t on, struct fake_data *data, uint32_t len)
{
	struct iommu_hwpt_alloc cmd = {
		.size = sizeof(cmd),
		.dev_id = b->devs[dev].id,
		.pt_id = on,
		.data_type = FAKE_DATA,
		.data_len = len,
		.data_uptr = (uint64_t)(uintptr_t)data,
	};
	long rc = call(b, IOMMU_HWPT_ALLOC, &cmd);

	return rc ? rc : cmd.out_hwpt_id;
}

long map_va(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t va, uint64_t len)
{
	struct iommu_ioas_map cmd = {
		.size = sizeof(cmd),
		.flags = IOMMU_IOAS_MAP_FIXED_IOVA | IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE,
		.ioas_id = ioas,
		.user_va = va,
		.length = len,
		.iova = iova,
	};

	return call(b, IOMMU_IOAS_MAP, &cmd);
}

long map(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t pages)
{
	return map_va(b, ioas, iova, b->va, pages * PG);
}

long unmap(struct bench *b, uint32_t ioas, uint64_t iova, uint64_t len)
{
	struct iommu_ioas_unmap cmd = { .size = sizeof(cmd), .ioas_id = ioas, .iova = iova, .length = len };

	return call(b, IOMMU_IOAS_UNMAP, &cmd);
}

bool usable(struct bench *b, uint32_t ioas, uint64_t iova)
{
	struct iommu_iova_range ranges[16];
	struct iommu_ioas_iova_ranges cmd = {
		.size = sizeof(cmd),
		.ioas_id = ioas,
		.num_iovas = 16,
		.allowed_iovas = (uint64_t)(uintptr_t)ranges,
	};

	assert_int_equal(call(b, IOMMU_IOAS_IOVA_RANGES, &cmd), 0);
	for (uint32_t i = 0; i < cmd.num_iovas; i++)
		if (ranges[i].start <= iova && iova <= ranges[i].last)
			return true;
	return false;
}

/* ---- devices */

void bind_dev(struct bench *b, int dev)
{
	assert_int_equal(iommufd_device_bind(b->ctx, &b->devs[dev].hw, &b->devs[dev].idev, &b->devs[dev].id),
			 0);
}

void unbind_dev(struct bench *b, int dev)
{
	iommufd_device_unbind(b->devs[dev].idev);
	b->devs[dev].idev = NULL;
}

long attach_pasid(struct bench *b, int dev, uint32_t pasid, uint32_t pt)
{
	int rc = iommufd_device_attach(b->devs[dev].idev, pasid, &pt);

	return rc ? rc : (long)pt;
}

long replace_pasid(struct bench *b, int dev, uint32_t pasid, uint32_t pt)
{
	int rc = iommufd_device_replace(b->devs[dev].idev, pasid, &pt);

	return rc ? rc : (long)pt;
}

void detach_pasid(struct bench *b, int dev, uint32_t pasid)
{
	iommufd_device_detach(b->devs[dev].idev, pasid);
}

long attach(struct bench *b, int dev, uint32_t pt)
{
	return attach_pasid(b, dev, IOMMU_NO_PASID, pt);
}

long replace(struct bench *b, int dev, uint32_t pt)
{
	return replace_pasid(b, dev, IOMMU_NO_PASID, pt);
}

void detach(struct bench *b, int dev)
{
	detach_pasid(b, dev, IOMMU_NO_PASID);
}

uint32_t translated_by_pasid(struct bench *b, int dev, uint32_t pasid)
{
	struct iommufd_domain *domain = b->devs[dev].now[pasid];

	return domain ? ((struct iommufd_hw_pagetable *)domain->hwpt)->obj.id : 0;
}

uint32_t translated_by(struct bench *b, int dev)
{
	return translated_by_pasid(b, dev, IOMMU_NO_PASID);
}

struct fake_domain *domain_of(struct bench *b, int dev)
{
	return to_fake(b->devs[dev].now[IOMMU_NO_PASID]);
}

#ifdef UVFIO_IOMMUFD_TEST
void sweep(struct bench *b, long (*fn)(struct bench *b))
{
	uint32_t by_a = translated_by(b, A), by_b = translated_by(b, B);
	int domains = fake_domains;
	bool failed = true;
	unsigned int n;

	for (n = 1; failed; n++) {
		long rc;

		failpoint_set(n);
		rc = fn(b);
		failed = !failpoint_get();
		failpoint_set(0);
		if (!failed) {
			assert_true(rc >= 0);
			break;
		}
		if (rc >= 0) { /* it can do without */
			by_a = translated_by(b, A);
			by_b = translated_by(b, B);
			domains = fake_domains;
			continue;
		}
		assert_true(rc == -ENOMEM || rc == -ENOENT || rc == -EINVAL || rc == -EFAULT);
		assert_int_equal(translated_by(b, A), by_a);
		assert_int_equal(translated_by(b, B), by_b);
		assert_int_equal(fake_domains, domains);
	}
	assert_true(n > 1);
}
#endif

/* ---- files */

long map_file(struct bench *b, uint32_t ioas, int fd, uint64_t start, uint64_t len, uint64_t *iova)
{
	struct iommu_ioas_map_file cmd = {
		sizeof(cmd), IOMMU_IOAS_MAP_WRITEABLE | IOMMU_IOAS_MAP_READABLE, ioas, fd, start, len, 0
	};
	long rc = call(b, IOMMU_IOAS_MAP_FILE, &cmd);

	*iova = cmd.iova;
	return rc;
}

int memory_file(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

struct iommufd_access *access_new(struct bench *b, uint32_t ioas)
{
	static const struct iommufd_access_ops ops = { 0 };
	struct iommufd_access *access;
	uint32_t id;

	assert_int_equal(iommufd_access_create(b->ctx, &ops, b, &access, &id), 0);
	assert_int_equal(iommufd_access_attach(access, ioas), 0);
	return access;
}
