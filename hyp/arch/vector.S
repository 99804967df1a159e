/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest's vector registers.  Pando itself has none (built without V), so
 * sstatus.VS must be on around these calls and they are all there is.
 *
 * Eight registers go at once, whatever vl and vtype say; but such moves begin
 * at element vstart, which is not 0 in a guest that has faulted half-way.
 *
 * a0 points into the registers' memory; t0: eight registers' bytes.
 */
	.option	arch, +v
	.text

/* void vector_load_v(const u8 *v) */
	.globl	vector_load_v
vector_load_v:
	csrr	t0, vlenb
	slli	t0, t0, 3
	csrw	vstart, zero
	.irp n, 0, 8, 16, 24
	vl8re8.v v\n, (a0)
	add	a0, a0, t0
	.endr
	ret

/* void vector_save_v(u8 *v); t1 keeps vstart */
	.globl	vector_save_v
vector_save_v:
	csrr	t0, vlenb
	slli	t0, t0, 3
	csrrw	t1, vstart, zero
	.irp n, 0, 8, 16, 24
	vs8r.v	v\n, (a0)
	add	a0, a0, t0
	.endr
	csrw	vstart, t1
	ret

/* void vector_set_vl_vtype(u64 vl, u64 vtype) */
	.globl	vector_set_vl_vtype
vector_set_vl_vtype:
	vsetvl	zero, a0, a1
	ret
