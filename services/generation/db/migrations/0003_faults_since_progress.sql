ALTER TABLE "generations" ADD COLUMN "faults" integer DEFAULT 0 NOT NULL;--> statement-breakpoint
ALTER TABLE "generations" ADD COLUMN "furthest_step" integer DEFAULT 0 NOT NULL;