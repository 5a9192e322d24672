CREATE TABLE "api_keys" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"name" text NOT NULL,
	"scopes" text[] NOT NULL,
	"prefix" text NOT NULL,
	"hash" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"revoked_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "assets" (
	"key" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"token" text,
	"state" text NOT NULL,
	"content_type" text NOT NULL,
	"width_px" integer NOT NULL,
	"height_px" integer NOT NULL,
	"byte_length" integer NOT NULL,
	"sha256" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "checkpoints" (
	"generation_id" text PRIMARY KEY NOT NULL,
	"step" integer NOT NULL,
	"bytes" "bytea" NOT NULL
);
--> statement-breakpoint
CREATE TABLE "generations" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"subject_id" text NOT NULL,
	"status" text NOT NULL,
	"stage" text,
	"stage_started_at" timestamp (3) with time zone,
	"attempt" integer NOT NULL,
	"step" integer NOT NULL,
	"request" jsonb NOT NULL,
	"timings" jsonb NOT NULL,
	"problem" jsonb,
	"idempotency_key" text,
	"request_hash" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL,
	"started_at" timestamp (3) with time zone,
	"completed_at" timestamp (3) with time zone
);
--> statement-breakpoint
CREATE TABLE "images" (
	"id" text PRIMARY KEY NOT NULL,
	"generation_id" text NOT NULL,
	"index" integer NOT NULL,
	"seed" bigint NOT NULL,
	"image_key" text NOT NULL,
	"mask_key" text NOT NULL,
	"verdict" jsonb NOT NULL
);
--> statement-breakpoint
CREATE TABLE "previews" (
	"generation_id" text NOT NULL,
	"kind" text NOT NULL,
	"asset_key" text NOT NULL,
	CONSTRAINT "previews_generation_id_kind_pk" PRIMARY KEY("generation_id","kind")
);
--> statement-breakpoint
CREATE TABLE "subjects" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"label" text NOT NULL,
	"status" text NOT NULL,
	"content_hash" text,
	"image_key" text,
	"mask_key" text,
	"verdict" jsonb NOT NULL,
	"upload_ids" text[] NOT NULL,
	"idempotency_key" text,
	"request_hash" text NOT NULL,
	"created_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
CREATE TABLE "uploads" (
	"id" text PRIMARY KEY NOT NULL,
	"tenant" text NOT NULL,
	"token_hash" text NOT NULL,
	"content_type" text NOT NULL,
	"byte_length" integer NOT NULL,
	"promised_sha256" text,
	"asset_key" text,
	"created_at" timestamp (3) with time zone NOT NULL,
	"expires_at" timestamp (3) with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "checkpoints" ADD CONSTRAINT "checkpoints_generation_id_generations_id_fk" FOREIGN KEY ("generation_id") REFERENCES "public"."generations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "generations" ADD CONSTRAINT "generations_subject_id_subjects_id_fk" FOREIGN KEY ("subject_id") REFERENCES "public"."subjects"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "images" ADD CONSTRAINT "images_generation_id_generations_id_fk" FOREIGN KEY ("generation_id") REFERENCES "public"."generations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "images" ADD CONSTRAINT "images_image_key_assets_key_fk" FOREIGN KEY ("image_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "images" ADD CONSTRAINT "images_mask_key_assets_key_fk" FOREIGN KEY ("mask_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "previews" ADD CONSTRAINT "previews_generation_id_generations_id_fk" FOREIGN KEY ("generation_id") REFERENCES "public"."generations"("id") ON DELETE cascade ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "previews" ADD CONSTRAINT "previews_asset_key_assets_key_fk" FOREIGN KEY ("asset_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "subjects" ADD CONSTRAINT "subjects_image_key_assets_key_fk" FOREIGN KEY ("image_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "subjects" ADD CONSTRAINT "subjects_mask_key_assets_key_fk" FOREIGN KEY ("mask_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
ALTER TABLE "uploads" ADD CONSTRAINT "uploads_asset_key_assets_key_fk" FOREIGN KEY ("asset_key") REFERENCES "public"."assets"("key") ON DELETE no action ON UPDATE no action;--> statement-breakpoint
CREATE UNIQUE INDEX "api_keys_hash" ON "api_keys" USING btree ("hash");--> statement-breakpoint
CREATE INDEX "api_keys_newest" ON "api_keys" USING btree ("created_at","id");--> statement-breakpoint
CREATE UNIQUE INDEX "assets_token" ON "assets" USING btree ("token");--> statement-breakpoint
CREATE INDEX "assets_unkept" ON "assets" USING btree ("created_at") WHERE "assets"."state" <> 'KEPT';--> statement-breakpoint
CREATE UNIQUE INDEX "generations_idempotency" ON "generations" USING btree ("tenant","idempotency_key");--> statement-breakpoint
CREATE INDEX "generations_newest" ON "generations" USING btree ("tenant","created_at","id");--> statement-breakpoint
CREATE INDEX "generations_of_subject" ON "generations" USING btree ("subject_id","created_at","id");--> statement-breakpoint
CREATE INDEX "generations_queue" ON "generations" USING btree ("created_at","id") WHERE "generations"."status" = 'QUEUED';--> statement-breakpoint
CREATE INDEX "generations_queue_of_tenant" ON "generations" USING btree ("tenant") WHERE "generations"."status" = 'QUEUED';--> statement-breakpoint
CREATE INDEX "generations_unfinished" ON "generations" USING btree ("created_at","id") WHERE "generations"."status" in ('QUEUED', 'RUNNING', 'CANCELING');--> statement-breakpoint
CREATE INDEX "generations_ended" ON "generations" USING btree ("completed_at") WHERE "generations"."completed_at" is not null;--> statement-breakpoint
CREATE UNIQUE INDEX "images_of_generation" ON "images" USING btree ("generation_id","index");--> statement-breakpoint
CREATE INDEX "images_image" ON "images" USING btree ("image_key");--> statement-breakpoint
CREATE INDEX "images_mask" ON "images" USING btree ("mask_key");--> statement-breakpoint
CREATE INDEX "previews_asset" ON "previews" USING btree ("asset_key");--> statement-breakpoint
CREATE UNIQUE INDEX "subjects_idempotency" ON "subjects" USING btree ("tenant","idempotency_key");--> statement-breakpoint
CREATE INDEX "subjects_newest" ON "subjects" USING btree ("tenant","created_at","id");--> statement-breakpoint
CREATE INDEX "subjects_image" ON "subjects" USING btree ("image_key");--> statement-breakpoint
CREATE INDEX "subjects_mask" ON "subjects" USING btree ("mask_key");--> statement-breakpoint
CREATE UNIQUE INDEX "uploads_token_hash" ON "uploads" USING btree ("token_hash");--> statement-breakpoint
CREATE INDEX "uploads_expiry" ON "uploads" USING btree ("expires_at");--> statement-breakpoint
CREATE INDEX "uploads_asset" ON "uploads" USING btree ("asset_key");--> statement-breakpoint
CREATE INDEX "uploads_promised" ON "uploads" USING btree ("tenant","expires_at") WHERE "uploads"."asset_key" is null;