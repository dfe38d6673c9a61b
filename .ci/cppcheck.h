/* SPDX-License-Identifier: BSD-2-Clause */
/* For cppcheck only: simple forms of the list macros, whose real ones it does not parse. */
#define cds_list_for_each_entry(p, head, member)         for ((p) = (void *)(head); (p); (p) = (void *)(head))
#define cds_list_for_each_entry_safe(p, n, head, member) for ((p) = (n) = (void *)(head); (p); (p) = (n))
#define cds_list_for_each_entry_rcu(p, head, member)     for ((p) = (void *)(head); (p); (p) = (void *)(head))
