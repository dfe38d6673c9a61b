/* SPDX-License-Identifier: BSD-2-Clause */
/* IOMMU_OPTION: switches of a context, or of an object in it. What is not known is -EOPNOTSUPP. */
#include "base/why.h"
#include "iommufd/impl.h"

#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Who may choose whose limit it is to be charged to. Without limits, anybody may. */
static bool may_choose_limit(const struct iommufd_ucmd *ucmd)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, ucmd->caller->pid };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (!ucmd->ctx->params->memlock_rlimit)
		return true;
	return !syscall(SYS_capget, &header, data) && data[0].effective & BIT32(CAP_SYS_RESOURCE);
}

static int set_account_mode(struct iommufd_ctx *ctx, uint64_t value)
{
	int rc = 0;

	pthread_rwlock_wrlock(&ctx->ioas_creation_lock);
	if (!iommufd_ids_empty(ctx))
		rc = WHY(-EBUSY, "RLIMIT_MODE is set before the first object is made");
	else if (value > 1)
		rc = WHY(-EINVAL, "RLIMIT_MODE %llu: 0 is per user, 1 is per process",
			 (unsigned long long)value);
	else
		ctx->account_mode = value ? IOPT_ACCOUNT_MM : IOPT_ACCOUNT_USER;
	pthread_rwlock_unlock(&ctx->ioas_creation_lock);
	return rc;
}

static int rlimit_mode(struct iommufd_ucmd *ucmd)
{
	struct iommu_option *cmd = ucmd->arg;

	if (cmd->object_id)
		return WHY(-EOPNOTSUPP, "RLIMIT_MODE is of the whole file: object_id is 0");
	switch (cmd->op) {
	case IOMMU_OPTION_OP_GET:
		pthread_rwlock_rdlock(&ucmd->ctx->ioas_creation_lock);
		cmd->val64 = ucmd->ctx->account_mode == IOPT_ACCOUNT_MM;
		pthread_rwlock_unlock(&ucmd->ctx->ioas_creation_lock);
		return 0;
	case IOMMU_OPTION_OP_SET:
		if (!may_choose_limit(ucmd))
			return WHY(-EPERM, "RLIMIT_MODE needs CAP_SYS_RESOURCE");
		return set_account_mode(ucmd->ctx, cmd->val64);
	default:
		return WHY(-EOPNOTSUPP, "op %u: 0 is SET, 1 is GET", cmd->op);
	}
}

int iommufd_option(struct iommufd_ucmd *ucmd)
{
	struct iommu_option *cmd = ucmd->arg;
	int rc;

	if (cmd->__reserved)
		return WHY(-EOPNOTSUPP, "__reserved is 0x%x", cmd->__reserved);
	switch (cmd->option_id) {
	case IOMMU_OPTION_RLIMIT_MODE:
		rc = rlimit_mode(ucmd);
		break;
	case IOMMU_OPTION_HUGE_PAGES:
		rc = iommufd_ioas_option(ucmd);
		break;
	default:
		rc = WHY(-EOPNOTSUPP, "option %u: 0 is RLIMIT_MODE, 1 is HUGE_PAGES", cmd->option_id);
	}
	if (rc)
		return rc;
	if (copy_out(ucmd->caller, ucmd->uptr + offsetof(struct iommu_option, val64), &cmd->val64,
		     sizeof(cmd->val64)))
		return WHY(-EFAULT, "the argument is not writable memory");
	return 0;
}
