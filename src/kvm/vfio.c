/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The KVM-VFIO device. The one file that knows KVM and VFIO.
 *
 * A file that is added is kept open until it is removed, so whoever closes first, VM, group, device or this,
 * the device's driver has let go of the VM when it ends. Adding a file to a second VM takes it from the
 * first, whose removal of it then changes nothing.
 *
 * lock protects the list, and orders what VFIO is told. The group's turn (vfio/kvm.c) is taken inside it, and
 * so drivers' set_kvm is called: they make no ioctl there. Files are let go without it.
 */
#include "kvm/vfio.h"

#include "base/why.h"
#include "vfio/vfio.h"

#include <stdio.h>
#include <stdlib.h>

struct kvm_vfio_file {
	struct cds_list_head node;
	struct file *file; /* a reference */
};

struct kvm_vfio {
	struct kvm *kvm;
	pthread_mutex_t lock;
	struct cds_list_head files;                    /* under lock */
	_Atomic bool noncoherent;                      /* changed under lock */
	void (*removed)(void *arg, struct file *file); /* NULL: nobody wants to know */
	void *removed_arg;
};

struct kvm_vfio *kvm_vfio_new(struct kvm *kvm)
{
	struct kvm_vfio *kv = calloc(1, sizeof(*kv));

	if (!kv)
		return NULL;
	kv->kvm = kvm;
	pthread_mutex_init(&kv->lock, NULL);
	CDS_INIT_LIST_HEAD(&kv->files);
	return kv;
}

void kvm_vfio_on_removal(struct kvm_vfio *kv, void (*removed)(void *arg, struct file *file), void *arg)
{
	kv->removed = removed;
	kv->removed_arg = arg;
}

static void tell_removed(struct kvm_vfio *kv, struct file *file)
{
	if (kv->removed)
		kv->removed(kv->removed_arg, file);
}

void kvm_vfio_free(struct kvm_vfio *kv)
{
	struct kvm_vfio_file *kvf, *next;

	cds_list_for_each_entry_safe (kvf, next, &kv->files, node) {
		vfio_file_unset_kvm(kvf->file, kv->kvm);
		tell_removed(kv, kvf->file);
		file_put(kvf->file);
		free(kvf);
	}
	pthread_mutex_destroy(&kv->lock);
	free(kv);
}

bool kvm_vfio_noncoherent(struct kvm_vfio *kv)
{
	return atomic_load(&kv->noncoherent);
}

/* A file may change what others share with it, so all are looked at. lock is held. */
static void update_coherency(struct kvm_vfio *kv)
{
	struct kvm_vfio_file *kvf;
	bool noncoherent = false;

	cds_list_for_each_entry (kvf, &kv->files, node)
		noncoherent |= !vfio_file_enforced_coherent(kvf->file);
	atomic_store(&kv->noncoherent, noncoherent);
}

/* lock is held. */
static struct kvm_vfio_file *find_file(struct kvm_vfio *kv, const struct file *file)
{
	struct kvm_vfio_file *kvf;

	cds_list_for_each_entry (kvf, &kv->files, node)
		if (kvf->file == file)
			return kvf;
	return NULL;
}

/* Takes the caller's reference of file on success. lock is held. */
static int add_file(struct kvm_vfio *kv, struct file *file)
{
	struct kvm_vfio_file *kvf;

	if (find_file(kv, file))
		return WHY(-EEXIST, "the file has been added to this VM");
	kvf = calloc(1, sizeof(*kvf));
	if (!kvf)
		return -ENOMEM;
	kvf->file = file;
	cds_list_add_tail(&kvf->node, &kv->files);
	vfio_file_set_kvm(file, kv->kvm);
	update_coherency(kv);
	return 0;
}

/* The list's reference of file is the caller's then. lock is held. */
static int del_file(struct kvm_vfio *kv, struct file *file)
{
	struct kvm_vfio_file *kvf = find_file(kv, file);

	if (!kvf)
		return WHY(-ENOENT, "the file has not been added to this VM");
	cds_list_del(&kvf->node);
	vfio_file_unset_kvm(file, kv->kvm);
	tell_removed(kv, file);
	update_coherency(kv);
	free(kvf);
	return 0;
}

static int change(struct kvm_vfio *kv, struct file *file, bool add)
{
	int rc;

	pthread_mutex_lock(&kv->lock);
	rc = add ? add_file(kv, file) : del_file(kv, file);
	pthread_mutex_unlock(&kv->lock);
	return rc;
}

int kvm_vfio_with_file(struct kvm_vfio *kv, const struct caller *caller, int fd,
		       int (*fn)(void *arg, struct file *file), void *arg)
{
	struct file *file = NULL;
	int rc = caller->ops->get_file(caller, fd, &file);

	if (rc)
		return rc == -EBADFD ? WHY(-ENOENT, "descriptor %d has not been added to this VM", fd)
				     : WHY(rc, "%d is no open descriptor", fd);
	pthread_mutex_lock(&kv->lock);
	if (find_file(kv, file))
		rc = fn(arg, file);
	else
		rc = WHY(-ENOENT, "descriptor %d has not been added to this VM", fd);
	pthread_mutex_unlock(&kv->lock);
	file_put(file);
	return rc;
}

static int no_vfio_file(int fd, bool add, int *foreign)
{
	*foreign = fd;
	return add ? WHY(-EINVAL, "descriptor %d is neither a group's nor a device's", fd)
		   : WHY(-ENOENT, "descriptor %d has not been added to this VM", fd);
}

int kvm_vfio_set(struct kvm_vfio *kv, const struct caller *caller, const struct kvm_device_attr *attr,
		 int *foreign)
{
	bool add = attr->attr == KVM_DEV_VFIO_FILE_ADD;
	struct file *file = NULL;
	int32_t fd;
	int rc = kvm_vfio_has(attr);

	if (rc)
		return rc;
	if (copy_in(caller, &fd, attr->addr, sizeof(fd)))
		return WHY(-EFAULT, "addr is the address of a descriptor");
	rc = caller->ops->get_file(caller, fd, &file);
	if (rc == -EBADFD || (!rc && !vfio_file_is_valid(file)))
		rc = no_vfio_file(fd, add, foreign);
	else if (rc)
		rc = WHY(rc, "%d is no open descriptor", fd);
	else
		rc = change(kv, file, add);
	if (file && !(add && !rc))
		file_put(file);
	if (!rc && !add)
		file_put(file); /* the list's */
	return rc;
}

int kvm_vfio_has(const struct kvm_device_attr *attr)
{
	if (attr->group != KVM_DEV_VFIO_FILE)
		return WHY(-ENXIO, "group %u: there is KVM_DEV_VFIO_FILE (1)", attr->group);
	if (attr->attr != KVM_DEV_VFIO_FILE_ADD && attr->attr != KVM_DEV_VFIO_FILE_DEL)
		return WHY(-ENXIO, "attribute %llu: there are FILE_ADD (1) and FILE_DEL (2)",
			   (unsigned long long)attr->attr);
	return 0;
}

void kvm_vfio_describe(const struct ioctl_call *call, const void *arg, char *buf, size_t len)
{
	struct kvm_device_attr attr;
	const char *what;
	int32_t fd = -1;

	(void)arg;
	if (copy_in(call->caller, &attr, call->arg, sizeof(attr)))
		return;
	what = attr.attr == KVM_DEV_VFIO_FILE_ADD ? "ADD" : attr.attr == KVM_DEV_VFIO_FILE_DEL ? "DEL" : NULL;
	if (attr.group != KVM_DEV_VFIO_FILE || !what)
		snprintf(buf, len, "group=%u attr=%llu", attr.group, (unsigned long long)attr.attr);
	else if (copy_in(call->caller, &fd, attr.addr, sizeof(fd)))
		snprintf(buf, len, "FILE %s addr=0x%llx", what, (unsigned long long)attr.addr);
	else
		snprintf(buf, len, "FILE %s fd=%d", what, fd);
}
