/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory slots, as a vCPU has them: the engine maps the program's memory itself. */
#include "base/why.h"
#include "kvm/vcpu.h"

#include <stdlib.h>

struct collected {
	struct engine_memory *memory;
	unsigned int nr, room;
};

static bool collect(void *arg, const struct kvm_memory_slot *slot)
{
	struct collected *all = arg;

	if (all->nr == all->room) {
		unsigned int room = all->room ? 2 * all->room : 16;
		struct engine_memory *more = realloc(all->memory, room * sizeof(*more));

		if (!more)
			return false;
		all->memory = more;
		all->room = room;
	}
	all->memory[all->nr++] = (struct engine_memory){
		.gpa = slot->gpa,
		.size = slot->size,
		.at = (void *)(uintptr_t)slot->hva,
		.readonly = slot->flags & KVM_MEM_READONLY,
		.log = slot->flags & KVM_MEM_LOG_DIRTY_PAGES,
	};
	return true;
}

/* Called without running: the slots' lock comes before it. What changes later is seen the next time. */
int vcpu_update_memory(struct vcpu *vcpu)
{
	uint64_t generation = kvm_slots_generation(vcpu->base.kvm);
	struct collected all = { 0 };
	int rc;

	if (atomic_exchange(&vcpu->forget, false))
		engine_forget_translations(vcpu->engine);
	if (vcpu->slots_known && vcpu->slots_seen == generation)
		return 0;
	kvm_each_memslot(vcpu->base.kvm, collect, &all);
	rc = engine_set_memory(vcpu->engine, all.memory, all.nr);
	free(all.memory);
	vcpu->slots_known = !rc;
	vcpu->slots_seen = generation;
	return rc ? WHY(-EFAULT, "%u memory slots are more than a software vCPU can have", all.nr) : 0;
}

void vcpu_dirty(void *arg, uint64_t gpa)
{
	struct vcpu *vcpu = arg;

	kvm_mark_dirty(vcpu->base.kvm, gpa, 1);
}

void vcpu_slots_stop(struct kvm_vcpu *base)
{
	struct vcpu *vcpu = to_vcpu(base);

	engine_kick(vcpu->engine);
	pthread_mutex_lock(&vcpu->running);
}

void vcpu_slots_changed(struct kvm_vcpu *base)
{
	struct vcpu *vcpu = to_vcpu(base);

	atomic_store(&vcpu->forget, true);
	pthread_mutex_unlock(&vcpu->running);
}
