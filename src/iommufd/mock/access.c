/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Mock accesses: a descriptor for each, whose close unpins what it has pinned. What is pinned by one call is
 * an item with a number.
 *
 * An access's lock is held from before pages are pinned until their item stands in the list: an unmap that
 * comes in between waits in its notification, and then finds it.
 */
#include "base/why.h"
#include "iommufd/mock/mock.h"

#include <fcntl.h>
#include <stdlib.h>

#define MAX_LENGTH ((uint64_t)16 << 20)

struct mock_access {
	struct iommufd_access *access;
	bool pins;
	pthread_mutex_t lock; /* of what follows */
	struct cds_list_head items;
	uint32_t next_id;
};

struct access_item {
	struct cds_list_head node;
	uint64_t iova, length;
	uint32_t id;
};

static void access_unmap(void *data, uint64_t iova, uint64_t length)
{
	uint64_t last = iova + length - 1;
	struct mock_access *mock = data;
	struct access_item *item, *next;

	pthread_mutex_lock(&mock->lock);
	cds_list_for_each_entry_safe (item, next, &mock->items, node) {
		if (iova > item->iova + item->length - 1 || last < item->iova)
			continue;
		cds_list_del(&item->node);
		iommufd_access_unpin_pages(mock->access, item->iova, item->length);
		free(item);
	}
	pthread_mutex_unlock(&mock->lock);
}

static const struct iommufd_access_ops pin_ops = { .needs_pin_pages = true, .unmap = access_unmap };
static const struct iommufd_access_ops plain_ops = { .unmap = access_unmap };

static void access_release(struct file *file)
{
	struct mock_access *mock = file->priv;

	if (mock->access) {
		access_unmap(mock, 0, UINT64_MAX);
		iommufd_access_destroy(mock->access);
	}
	pthread_mutex_destroy(&mock->lock);
	free(mock);
}

static const struct file_ops access_file_ops = {
	.name = "iommufd-test-staccess",
	.release = access_release,
};

/* The access behind the caller's descriptor, and its file with a reference. -EBADFD. */
static int get_access(struct iommufd_ucmd *ucmd, uint32_t fd, struct file **file, struct mock_access **mock)
{
	if (ucmd->caller->ops->get_file(ucmd->caller, (int)fd, file))
		return -EBADFD;
	if ((*file)->ops != &access_file_ops) {
		file_put(*file);
		return WHY(-EBADFD, "descriptor %u is no access", fd);
	}
	*mock = (*file)->priv;
	return 0;
}

/* ---- CREATE_ACCESS */

static struct file *new_file(bool pins)
{
	struct mock_access *mock = iommufd_zalloc(sizeof(*mock));
	struct file *file;

	if (!mock)
		return NULL;
	pthread_mutex_init(&mock->lock, NULL);
	CDS_INIT_LIST_HEAD(&mock->items);
	mock->pins = pins;
	file = file_alloc(&access_file_ops, mock, O_RDWR, "anon_inode:[iommufd_test_staccess]");
	if (!file)
		free(mock);
	return file;
}

static int install(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd, struct file *file)
{
	uint64_t at = ucmd->uptr + offsetof(struct iommu_test_cmd, create_access.out_access_fd);
	int rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));

	if (rc) {
		file_put(file);
		return rc;
	}
	rc = ucmd->caller->ops->install_at(ucmd->caller, file, O_CLOEXEC, at);
	return rc == -EMFILE ? -ENOMEM : rc;
}

int mock_test_create_access(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	bool pins = cmd->create_access.flags & MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES;
	struct mock_access *mock;
	struct file *file;
	uint32_t id;
	int rc;

	if (cmd->create_access.flags & ~MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES)
		return WHY(-EOPNOTSUPP, "flags 0x%x", cmd->create_access.flags);
	file = new_file(pins);
	if (!file)
		return -ENOMEM;
	mock = file->priv;
	rc = iommufd_access_create(ucmd->ctx, pins ? &pin_ops : &plain_ops, mock, &mock->access, &id);
	if (rc)
		mock->access = NULL;
	if (!rc)
		rc = iommufd_access_attach(mock->access, cmd->id);
	if (!rc)
		return install(ucmd, cmd, file);
	file_put(file);
	return rc;
}

int mock_test_replace_ioas(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_access *mock;
	struct file *file;
	int rc = get_access(ucmd, cmd->id, &file, &mock);

	if (rc)
		return rc;
	rc = iommufd_access_replace(mock->access, cmd->access_replace_ioas.ioas_id);
	file_put(file);
	return rc;
}

/* ---- ACCESS_PAGES */

/* Are the pages those of the caller's memory from va on? */
static int check_pages(struct iommufd_ucmd *ucmd, uint64_t va, const struct mm_page *pages, uint64_t nr)
{
	struct mm *mm = ucmd->caller->mm;
	struct mock_vma a = { 0 }, b = { 0 };

	for (uint64_t i = 0; i < nr; i++, va += UVFIO_PAGE_SIZE) {
		if (mm_check(mm, align_down(va, UVFIO_PAGE_SIZE), UVFIO_PAGE_SIZE, false))
			return -EFAULT;
		if (!mock_same_byte(&pages[i], &a, mm, align_down(va, UVFIO_PAGE_SIZE), &b))
			return WHY(-EBADE, "page %llu of the access is not that at 0x%llx",
				   (unsigned long long)i, (unsigned long long)va);
	}
	return 0;
}

/* The pages are pinned, and checked: make their item. */
static int add_item(struct iommufd_ucmd *ucmd, struct mock_access *mock, uint64_t iova, uint64_t length)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	struct access_item *item = iommufd_zalloc(sizeof(*item));
	int rc;

	if (!item)
		return -ENOMEM;
	*item = (struct access_item){ .iova = iova, .length = length, .id = mock->next_id++ };
	cmd->access_pages.out_access_pages_id = item->id;
	rc = iommufd_ucmd_respond(ucmd, sizeof(*cmd));
	if (rc)
		free(item);
	else
		cds_list_add_tail(&item->node, &mock->items);
	return rc;
}

static int pin(struct iommufd_ucmd *ucmd, struct mock_access *mock, uint64_t iova, struct mm_page *pages,
	       uint64_t nr)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	uint64_t length = cmd->access_pages.length, uptr = cmd->access_pages.uptr;
	int rc;

	pthread_mutex_lock(&mock->lock);
	rc = iommufd_access_pin_pages(mock->access, iova, length, pages,
				      cmd->access_pages.flags & MOCK_FLAGS_ACCESS_WRITE);
	if (!rc) {
		if (uptr)
			rc = check_pages(ucmd, uptr - (iova & UVFIO_PAGE_MASK), pages, nr);
		if (!rc)
			rc = add_item(ucmd, mock, iova, length);
		if (rc)
			iommufd_access_unpin_pages(mock->access, iova, length);
	}
	pthread_mutex_unlock(&mock->lock);
	return rc;
}

static int access_pages(struct iommufd_ucmd *ucmd, struct mock_access *mock)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	uint64_t iova = cmd->access_pages.iova;
	struct mm_page *pages;
	uint64_t nr;
	int rc;

	if (!mock->pins)
		return WHY(-EOPNOTSUPP, "the access was not made to pin pages");
	if (cmd->access_pages.flags & MOCK_FLAGS_ACCESS_SYZ)
		iova = mock_nth_iova(mock->access, iova);
	nr = (align_up(iova + cmd->access_pages.length, UVFIO_PAGE_SIZE) -
	      align_down(iova, UVFIO_PAGE_SIZE)) /
	     UVFIO_PAGE_SIZE;
	pages = iommufd_calloc(MAX(nr, (uint64_t)1), sizeof(*pages));
	if (!pages)
		return -ENOMEM;
	rc = pin(ucmd, mock, iova, pages, nr);
	free(pages);
	return rc;
}

int mock_test_access_pages(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_access *mock;
	struct file *file;
	int rc;

	if (cmd->access_pages.length > MAX_LENGTH)
		return -ENOMEM;
	if (cmd->access_pages.flags & ~(MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ))
		return WHY(-EOPNOTSUPP, "flags 0x%x", cmd->access_pages.flags);
	rc = get_access(ucmd, cmd->id, &file, &mock);
	if (rc)
		return rc;
	rc = access_pages(ucmd, mock);
	file_put(file);
	return rc;
}

static int destroy_item(struct mock_access *mock, uint32_t id)
{
	struct access_item *item, *next;
	int rc = -ENOENT;

	pthread_mutex_lock(&mock->lock);
	cds_list_for_each_entry_safe (item, next, &mock->items, node) {
		if (item->id != id)
			continue;
		cds_list_del(&item->node);
		iommufd_access_unpin_pages(mock->access, item->iova, item->length);
		free(item);
		rc = 0;
		break;
	}
	pthread_mutex_unlock(&mock->lock);
	return rc;
}

int mock_test_destroy_pages(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_access *mock;
	struct file *file;
	int rc = get_access(ucmd, cmd->id, &file, &mock);

	if (rc)
		return rc;
	rc = destroy_item(mock, cmd->destroy_access_pages.access_pages_id);
	file_put(file);
	return rc;
}

/* ---- ACCESS_RW */

static int access_rw(struct iommufd_ucmd *ucmd, struct mock_access *mock, void *buf)
{
	struct iommu_test_cmd *cmd = ucmd->arg;
	uint32_t flags = cmd->access_rw.flags;
	uint64_t iova = cmd->access_rw.iova, uptr = cmd->access_rw.uptr;
	size_t length = (size_t)cmd->access_rw.length;
	int rc = 0;

	if (flags & MOCK_ACCESS_RW_WRITE)
		rc = copy_in(ucmd->caller, buf, uptr, length);
	if (flags & MOCK_FLAGS_ACCESS_SYZ)
		iova = mock_nth_iova(mock->access, iova);
	if (!rc)
		rc = iommufd_access_rw(mock->access, iova, buf, length, flags & ~MOCK_FLAGS_ACCESS_SYZ);
	if (!rc && !(flags & MOCK_ACCESS_RW_WRITE))
		rc = copy_out(ucmd->caller, uptr, buf, length);
	return rc;
}

int mock_test_access_rw(struct iommufd_ucmd *ucmd, struct iommu_test_cmd *cmd)
{
	struct mock_access *mock;
	struct file *file;
	void *buf;
	int rc;

	_Static_assert(MOCK_ACCESS_RW_WRITE == IOMMUFD_ACCESS_RW_WRITE &&
			       MOCK_ACCESS_RW_SLOW_PATH == IOMMUFD_ACCESS_RW_SLOW_PATH,
		       "passed on as they are");
	if (cmd->access_rw.length > MAX_LENGTH)
		return -ENOMEM;
	if (cmd->access_rw.flags & ~(MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ))
		return WHY(-EOPNOTSUPP, "flags 0x%x", cmd->access_rw.flags);
	rc = get_access(ucmd, cmd->id, &file, &mock);
	if (rc)
		return rc;
	buf = iommufd_zalloc(MAX(cmd->access_rw.length, (uint64_t)1));
	rc = buf ? access_rw(ucmd, mock, buf) : -ENOMEM;
	free(buf);
	file_put(file);
	return rc;
}
