/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * I/O commands. Data goes straight between the file and the client's memory, a chunk per DMA section; through
 * a bounce buffer where the memory is not this process's own.
 *
 * Between chunks a long command looks whether a reset waits, and ends early.
 */
#include "devices/nvme/nvme.h"

#include <string.h>

struct nvme_extent {
	struct nvme_ns *ns;
	uint64_t slba;
	uint64_t nlb;
	uint64_t offset; /* into the media */
	uint64_t len;
};

static uint16_t find_extent(struct nvme_ctrl *ctrl, uint32_t nsid, uint64_t slba, uint64_t nlb,
			    struct nvme_extent *out)
{
	uint64_t last;

	out->ns = nvme_find_ns(ctrl, nsid);
	if (!out->ns)
		return NVME_DNR(NVME_SC_INVALID_NS);
	if (add_overflows(slba, nlb, &last) || last > out->ns->blocks)
		return NVME_DNR(NVME_SC_LBA_RANGE);
	out->slba = slba;
	out->nlb = nlb;
	out->offset = out->ns->start + (slba << ctrl->lba_shift);
	out->len = nlb << ctrl->lba_shift;
	return 0;
}

static uint16_t command_extent(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe, struct nvme_extent *out)
{
	uint64_t slba = sqe->cdw10 | (uint64_t)sqe->cdw11 << 32;

	return find_extent(ctrl, sqe->nsid, slba, (sqe->cdw12 & 0xffff) + 1ull, out);
}

static bool command_fua(struct nvme_ctrl *ctrl, const struct nvme_sqe *sqe)
{
	return sqe->cdw12 >> 16 & NVME_IO_FUA || !atomic_load(&ctrl->features.write_cache);
}

/* The status for a failed system call on the media. */
static uint16_t media_status(struct nvme_ctrl *ctrl, int rc, bool write)
{
	if (rc == -EFAULT)
		return NVME_SC_DATA_XFER_ERROR;
	atomic_fetch_add(&ctrl->log.media_errors, 1);
	uvfio_log_once(&ctrl->func->dev, (uint64_t)-rc, "%s: %s failed: %s", ctrl->media.name,
		       write ? "writing" : "reading", strerror(-rc));
	if (write && (rc == -ENOSPC || rc == -EDQUOT || rc == -EFBIG))
		return NVME_DNR(NVME_SC_CAP_EXCEEDED);
	return NVME_MEDIA(write ? NVME_SC_WRITE_FAULT : NVME_SC_READ_ERROR);
}

/* ---- read and write */

struct transfer {
	struct nvme_worker *w;
	struct nvme_sq *sq;
	struct nvme_prp prp;
	uint64_t offset; /* into the media */
	uint64_t left;
	bool write; /* to the media */
	bool fua;
	bool guarded; /* inside nvme_long_begin */
};

static void become_long(struct transfer *t)
{
	if (!t->guarded)
		nvme_long_begin(t->w, t->sq);
	t->guarded = true;
}

/* The stretches of one chunk as pieces of our own memory. -EREMOTE: the first stretch cannot be had that way.
 */
static uint16_t gather(struct transfer *t, unsigned int *nr_iov, unsigned int *nr_segs, int *rc)
{
	struct nvme_worker *w = t->w;
	uint64_t want = MIN(t->left, (uint64_t)NVME_CHUNK), have = 0;

	*nr_iov = *nr_segs = 0;
	*rc = 0;
	while (have < want && *nr_segs < NVME_MAX_IOV) {
		unsigned int before = *nr_iov;
		uint16_t status = nvme_prp_fill(&t->prp, want - have);
		uint64_t n = MIN(t->prp.len, want - have);

		if (status)
			return status;
		*rc = uvfio_dma_map(w->dma, t->prp.iova, n, !t->write, w->iov, nr_iov, NVME_MAX_IOV, "data");
		if (*rc == -EFAULT)
			return NVME_SC_DATA_XFER_ERROR;
		if (*rc) {
			*nr_iov = before;
			break;
		}
		w->segs[(*nr_segs)++] = (struct nvme_segment){ t->prp.iova, n };
		nvme_prp_advance(&t->prp, n);
		have += n;
	}
	if (have)
		*rc = 0;
	return 0;
}

/* Client memory went away under a system call: say where. */
static void report_lost(struct transfer *t, unsigned int nr_segs, size_t moved)
{
	for (unsigned int i = 0; i < nr_segs; i++) {
		struct nvme_segment *seg = &t->w->segs[i];

		if (moved < seg->len) {
			uvfio_dma_report_lost(t->w->dma, seg->iova + moved, seg->len - moved, !t->write,
					      "data");
			return;
		}
		moved -= seg->len;
	}
}

static int move_direct(struct transfer *t, unsigned int nr, uint64_t len, size_t *moved)
{
	struct nvme_media *media = &t->w->ctrl->media;
	int rc;

	if (t->write)
		return nvme_media_write(media, t->w->iov, nr, t->offset, t->fua, moved);
	rc = nvme_media_read(media, t->w->iov, nr, t->offset, len < NVME_LONG, moved);
	if (rc != -EAGAIN)
		return rc;
	become_long(t);
	return nvme_media_read(media, t->w->iov, nr, t->offset, false, moved);
}

/* One chunk through a bounce buffer, as much as fits of the current stretch. */
static uint16_t bounce_chunk(struct transfer *t, uint64_t *done)
{
	struct nvme_worker *w = t->w;
	uint64_t stretch = MIN(t->prp.len, t->left);
	uint64_t n = MIN(stretch, (uint64_t)NVME_BOUNCE);
	struct iovec iov = { w->bounce[0], n };
	size_t moved;
	int rc;

	*done = n;
	if (t->write && uvfio_dma_read(w->dma, t->prp.iova, w->bounce[0], n, "data"))
		return NVME_SC_DATA_XFER_ERROR;
	if (t->write)
		rc = nvme_media_write(&w->ctrl->media, &iov, 1, t->offset, t->fua, &moved);
	else
		rc = nvme_media_read(&w->ctrl->media, &iov, 1, t->offset, false, &moved);
	if (rc)
		return media_status(w->ctrl, rc, t->write);
	if (!t->write && uvfio_dma_write(w->dma, t->prp.iova, w->bounce[0], n, "data"))
		return NVME_SC_DATA_XFER_ERROR;
	nvme_prp_advance(&t->prp, n);
	return 0;
}

static uint16_t transfer_chunk(struct transfer *t, uint64_t *done)
{
	unsigned int nr_iov, nr_segs;
	uint64_t len = 0;
	uint16_t status;
	size_t moved;
	int rc;

	status = gather(t, &nr_iov, &nr_segs, &rc);
	if (status)
		return status;
	if (rc)
		return bounce_chunk(t, done);
	for (unsigned int i = 0; i < nr_segs; i++)
		len += t->w->segs[i].len;
	*done = len;
	rc = move_direct(t, nr_iov, len, &moved);
	if (rc == -EFAULT)
		report_lost(t, nr_segs, moved);
	return rc ? media_status(t->w->ctrl, rc, t->write) : 0;
}

static uint16_t transfer(struct transfer *t)
{
	uint16_t status = 0;

	if (t->left >= NVME_LONG || t->fua)
		become_long(t);
	while (t->left && !status) {
		uint64_t done = 0;

		if (nvme_stopping(t->w)) {
			status = NVME_SC_ABORT_QUEUE;
			break;
		}
		uvfio_dma_begin(t->w->dma);
		status = transfer_chunk(t, &done);
		uvfio_dma_end(t->w->dma);
		t->offset += done;
		t->left -= done;
	}
	if (t->guarded)
		nvme_long_end(t->w);
	return status;
}

static void count(struct nvme_ctrl *ctrl, bool write, uint64_t len)
{
	atomic_fetch_add_explicit(write ? &ctrl->log.writes : &ctrl->log.reads, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(write ? &ctrl->log.blocks_written : &ctrl->log.blocks_read, len >> 9,
				  memory_order_relaxed);
}

/* Everything that was written is where it stays. */
static uint16_t commit(struct nvme_worker *w, struct nvme_sq *sq)
{
	int rc;

	nvme_long_begin(w, sq);
	rc = nvme_media_flush(&w->ctrl->media);
	nvme_long_end(w);
	return rc ? media_status(w->ctrl, rc, true) : 0;
}

static uint16_t read_write(struct nvme_worker *w, struct nvme_cmd *cmd, bool write)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	struct transfer t = { .w = w, .sq = cmd->sq, .write = write };
	struct nvme_extent e;
	uint16_t status = command_extent(ctrl, &cmd->sqe, &e);

	if (status)
		return status;
	if (write && ctrl->media.readonly)
		return NVME_DNR(NVME_SC_NS_WRITE_PROTECTED);
	if (ctrl->mdts && e.len > ctrl->mdts)
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	status = nvme_prp_init(&t.prp, w, &cmd->sqe, e.len);
	if (status)
		return status;
	t.offset = e.offset;
	t.left = e.len;
	t.fua = write && command_fua(ctrl, &cmd->sqe);
	if (!write && cmd->sqe.cdw12 >> 16 & NVME_IO_FUA)
		status = commit(w, cmd->sq);
	if (!status)
		status = transfer(&t);
	if (!status) {
		count(ctrl, write, e.len);
		w->irq_cost += (uint32_t)MIN(e.len, (uint64_t)NVME_CHUNK);
	}
	return status;
}

/* ---- the others */

static uint16_t flush(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	if (cmd->sqe.nsid != NVME_NSID_ALL && !nvme_find_ns(w->ctrl, cmd->sqe.nsid))
		return NVME_DNR(NVME_SC_INVALID_NS);
	return commit(w, cmd->sq);
}

/* The blocks against the client's data, or (data false) only whether they can be read. */
static uint16_t check_blocks(struct nvme_worker *w, struct nvme_cmd *cmd, struct nvme_extent *e, bool data)
{
	struct nvme_prp it;
	uint16_t status = data ? nvme_prp_init(&it, w, &cmd->sqe, e->len) : 0;

	while (e->len && !status) {
		uint64_t n = MIN(e->len, (uint64_t)NVME_BOUNCE);
		struct iovec iov;
		size_t moved;
		int rc;

		if (nvme_stopping(w))
			return NVME_SC_ABORT_QUEUE;
		if (data) {
			status = nvme_prp_fill(&it, n);
			if (status)
				return status;
			n = MIN(n, it.len);
			if (uvfio_dma_read(w->dma, it.iova, w->bounce[1], n, "data"))
				return NVME_SC_DATA_XFER_ERROR;
			nvme_prp_advance(&it, n);
		}
		iov = (struct iovec){ w->bounce[0], n };
		rc = nvme_media_read(&w->ctrl->media, &iov, 1, e->offset, false, &moved);
		if (rc)
			return media_status(w->ctrl, rc, false);
		if (data && memcmp(w->bounce[0], w->bounce[1], n))
			return NVME_MEDIA(NVME_SC_COMPARE_FAILED);
		e->offset += n;
		e->len -= n;
	}
	return status;
}

static uint16_t compare_verify(struct nvme_worker *w, struct nvme_cmd *cmd, bool compare)
{
	struct nvme_extent e;
	uint16_t status = command_extent(w->ctrl, &cmd->sqe, &e);

	if (status)
		return status;
	if (compare && w->ctrl->mdts && e.len > w->ctrl->mdts)
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	nvme_long_begin(w, cmd->sq);
	status = check_blocks(w, cmd, &e, compare);
	nvme_long_end(w);
	return status;
}

static uint16_t write_zeroes(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_ctrl *ctrl = w->ctrl;
	struct nvme_extent e;
	uint16_t status = command_extent(ctrl, &cmd->sqe, &e);
	int rc;

	if (status)
		return status;
	if (ctrl->media.readonly)
		return NVME_DNR(NVME_SC_NS_WRITE_PROTECTED);
	nvme_long_begin(w, cmd->sq);
	rc = nvme_media_zero(&ctrl->media, e.offset, e.len, cmd->sqe.cdw12 >> 16 & NVME_IO_DEAC);
	if (!rc && command_fua(ctrl, &cmd->sqe))
		rc = nvme_media_flush(&ctrl->media);
	nvme_long_end(w);
	return rc ? media_status(ctrl, rc, true) : 0;
}

/* Every range is checked before the first one is touched. */
static uint16_t deallocate(struct nvme_worker *w, uint32_t nsid, const struct nvme_dsm_range *ranges,
			   unsigned int nr)
{
	struct nvme_extent e;

	for (unsigned int i = 0; i < nr; i++) {
		uint16_t status = find_extent(w->ctrl, nsid, ranges[i].slba, ranges[i].nlb, &e);

		if (status)
			return status;
	}
	for (unsigned int i = 0; i < nr && !nvme_stopping(w); i++) {
		int rc;

		find_extent(w->ctrl, nsid, ranges[i].slba, ranges[i].nlb, &e);
		if (!e.len)
			continue;
		rc = nvme_media_deallocate(&w->ctrl->media, e.offset, e.len);
		if (rc && rc != -EOPNOTSUPP)
			return media_status(w->ctrl, rc, true);
	}
	return 0;
}

static uint16_t dataset_management(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	struct nvme_dsm_range ranges[NVME_DSM_MAX_RANGES];
	unsigned int nr = (cmd->sqe.cdw10 & 0xff) + 1;
	uint16_t status;

	if (!nvme_find_ns(w->ctrl, cmd->sqe.nsid))
		return NVME_DNR(NVME_SC_INVALID_NS);
	if (!(cmd->sqe.cdw11 & NVME_DSMGMT_AD))
		return 0;
	if (w->ctrl->media.readonly)
		return NVME_DNR(NVME_SC_NS_WRITE_PROTECTED);
	status = nvme_from_host(w, &cmd->sqe, ranges, nr * sizeof(ranges[0]));
	if (status)
		return status;
	nvme_long_begin(w, cmd->sq);
	status = deallocate(w, cmd->sqe.nsid, ranges, nr);
	nvme_long_end(w);
	return status;
}

uint16_t nvme_io(struct nvme_worker *w, struct nvme_cmd *cmd)
{
	if (cmd->sqe.flags & (NVME_SQE_FUSE | NVME_SQE_PSDT))
		return NVME_DNR(NVME_SC_INVALID_FIELD);
	switch (cmd->sqe.opcode) {
	case nvme_cmd_read:
		return read_write(w, cmd, false);
	case nvme_cmd_write:
		return read_write(w, cmd, true);
	case nvme_cmd_flush:
		return flush(w, cmd);
	case nvme_cmd_compare:
		return compare_verify(w, cmd, true);
	case nvme_cmd_verify:
		return compare_verify(w, cmd, false);
	case nvme_cmd_write_zeroes:
		return write_zeroes(w, cmd);
	case nvme_cmd_dsm:
		return dataset_management(w, cmd);
	default:
		return NVME_DNR(NVME_SC_INVALID_OPCODE);
	}
}
